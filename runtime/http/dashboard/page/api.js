/* Calls of the API as a page of the same origin makes them: with its cookies, and a token at each change. */

/** Browsers refuse a larger body of a call that is to outlive its page; this many characters are surely smaller. */
const MOST_KEPT_ALIVE = 15_000;

/** An error as the API answers it (RFC 9457), or the lack of any answer: then `status` is 0. */
export class Problem extends Error {
  constructor(status, said = {}) {
    super(sentence(said.detail || said.title || "Something went wrong"));
    this.status = status;
    this.remedy = said.remedy ?? "";
    this.errors = said.errors ?? [];
    this.detail = said.detail ?? "";
    this.said = said;
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
export async function call(method, path, body, key = "") {
  const answer = await ask(method, path, { body, key });
  return answer.json().catch(() => null);
}

/**
 * One call; gives the answer as it begins to come.
 *
 * @param {object} how
 * @param {string} how.key a key to call with, in the place of the session.
 * @param {AbortSignal} how.signal ends it.
 * @throws {Problem} it was refused, or nobody answered.
 */
export async function ask(method, path, { body, key = "", signal, accept = "application/json" } = {}, again = false) {
  const change = method !== "GET";
  const text = JSON.stringify(body);
  const who = key ? { authorization: `Bearer ${key}` } : { ...(change && { "x-csrf-token": token }) };
  const headers = { accept, ...who, ...(text !== undefined && { "content-type": "application/json" }) };
  const answer = await fetch(path, {
    method,
    headers,
    body: text,
    cache: "no-store",
    credentials: key ? "omit" : "same-origin",
    keepalive: change && (text ?? "").length < MOST_KEPT_ALIVE,
    signal,
  }).catch(() => {
    throw new Problem(0, { detail: "the server cannot be reached", remedy: "Try again in a moment." });
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  const problem = new Problem(answer.status, said ?? { detail: `the server answered with ${answer.status}` });
  const wait = Number(answer.headers.get("retry-after"));
  if (wait) problem.remedy = `Try again in ${wait < 120 ? `${wait} seconds` : `${Math.ceil(wait / 60)} minutes`}.`;
  if (answer.status === 403 && problem.detail.startsWith("X-CSRF-Token") && !again && (await recover())) {
    return ask(method, path, { body, key, signal, accept }, true);
  }
  throw problem;
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
