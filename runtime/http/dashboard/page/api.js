/* Calls of the API as a page of the same origin makes them: with its cookies, and a token at each change. */

/** An error as the API answers it (RFC 9457), or the lack of any answer: then `status` is 0. */
export class Problem extends Error {
  constructor(status, said = {}) {
    super(sentence(said.detail || said.title || "Something went wrong"));
    this.status = status;
    this.remedy = said.remedy ?? "";
    this.errors = said.errors ?? [];
    this.detail = said.detail ?? "";
  }

  /** What is said of one field of what was sent, `/password`. */
  of(pointer) {
    return this.errors.find((error) => error.pointer === pointer)?.detail;
  }
}

let token = "";
let recover = async () => false;

/** Takes the token that changes of this session need. */
export function trust(csrf) {
  token = csrf;
}

/** Takes what is done when the token is no longer the session's: it says whether to try once more. */
export function whenStale(act) {
  recover = act;
}

/**
 * One call; gives what was answered.
 *
 * @throws {Problem} it was refused, or nobody answered.
 */
export async function call(method, path, body, again = false) {
  const change = method !== "GET";
  const headers = { accept: "application/json", ...(change && { "x-csrf-token": token }) };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, {
    method,
    headers,
    body: JSON.stringify(body),
    cache: "no-store",
    keepalive: change,
  }).catch(() => {
    throw new Problem(0, { detail: "the server cannot be reached", remedy: "Try again in a moment." });
  });
  const said = await answer.json().catch(() => null);
  if (answer.ok) return said;
  const problem = new Problem(answer.status, said ?? { detail: `the server answered with ${answer.status}` });
  const wait = Number(answer.headers.get("retry-after"));
  if (wait) problem.remedy = `Try again in ${wait < 120 ? `${wait} seconds` : `${Math.ceil(wait / 60)} minutes`}.`;
  if (answer.status === 403 && problem.detail.startsWith("X-CSRF-Token") && !again && (await recover())) {
    return call(method, path, body, true);
  }
  throw problem;
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
