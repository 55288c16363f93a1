/* Push messages on this device: the browser's subscription, and what the server knows of it. */

import { device } from "./texts.js";

const WORKER = "/dashboard/worker.js";
const SCOPE = "/dashboard/";
const PATH = "/v1/notifications/push-subscriptions";

/** Scripts are loaded from trusted addresses only; this is the one that a program may name. */
const addresses = window.trustedTypes?.createPolicy("dashboard", {
  createScriptURL(url) {
    if (url !== WORKER) throw new TypeError(`no script of ours: ${url}`);
    return url;
  },
});

export const supported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

/** The browser's subscription and the id by which the server would know it. */
export async function here() {
  const registration = supported ? await navigator.serviceWorker.getRegistration(SCOPE) : undefined;
  const subscription = (await registration?.pushManager.getSubscription()) ?? null;
  return subscription && { subscription, id: await idOf(subscription) };
}

/**
 * Asks the user, subscribes this browser and tells the server.
 *
 * @throws {Error} the user or the browser's push service does not want it.
 */
export async function turnOn(call) {
  if ((await Notification.requestPermission()) !== "granted")
    throw new Error("This browser was told not to show notifications.");
  const { public_key: key } = await call("GET", "/v1/notifications/vapid");
  const registration = await ready(
    await navigator.serviceWorker.register(addresses?.createScriptURL(WORKER) ?? WORKER, { scope: SCOPE }),
  );
  await unlessMadeWith(key, await registration.pushManager.getSubscription());
  const made = await registration.pushManager
    .subscribe({ userVisibleOnly: true, applicationServerKey: key })
    .catch((error) => {
      throw new Error(`The push service of this browser does not answer (${error.message}).`);
    });
  return call("POST", PATH, { ...made.toJSON(), applicationServerKey: key, device: device(navigator.userAgent) });
}

/** Ends it on this device. */
export async function turnOff(call) {
  const known = await here();
  if (!known) return;
  await call("DELETE", `${PATH}?id=${known.id}`).catch((problem) => {
    if (problem.status !== 404) throw problem;
  });
  await known.subscription.unsubscribe();
}

/** Whoever signs out gets nothing more on this device; never fails. */
export async function forget({ call, all = false }) {
  try {
    const known = await here();
    if (!known) return;
    const listed = call ? (await call("GET", PATH)).items : [];
    if (listed.some((each) => each.id === known.id)) await turnOff(call);
    else if (all) await known.subscription.unsubscribe();
  } catch (error) {
    console.info("the push subscription stays", error);
  }
}

/** A registration whose worker has begun. */
async function ready(registration) {
  const worker = registration.installing ?? registration.waiting;
  if (registration.active || !worker) return registration;
  await new Promise((resolve, reject) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("The service worker did not start."));
    });
  });
  return registration;
}

/** A subscription that was made with another key is of no use any more. */
async function unlessMadeWith(key, subscription) {
  if (!subscription) return;
  const made = subscription.options.applicationServerKey;
  if (!made || base64(made) !== key.replace(/=+$/, "")) await subscription.unsubscribe();
}

/** The server names a subscription by a digest of its endpoint. */
async function idOf(subscription) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(subscription.endpoint));
  return [...new Uint8Array(digest)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .slice(0, 40);
}

function base64(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}
