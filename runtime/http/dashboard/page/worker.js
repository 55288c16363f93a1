/* Shows push messages, also while the page is closed, and opens what they lead to. It keeps nothing. */

self.addEventListener("push", (event) => {
  let said = {};
  try {
    said = event.data?.json() ?? {};
  } catch {
    said = { body: event.data.text() };
  }
  const options = { body: said.body ?? "", data: { link: said.link ?? null } };
  if (said.id) options.tag = String(said.id);
  event.waitUntil(self.registration.showNotification(said.title ?? "Notification", options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(target(event.notification.data?.link)));
});

/** Where a click leads: http and https, or within this site; else to the inbox. */
function target(link) {
  try {
    const url = new URL(link ?? "/", self.location.origin);
    if (url.protocol === "http:" || url.protocol === "https:") return url;
  } catch {
    // no address at all
  }
  return new URL("/", self.location.origin);
}

async function open(url) {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const inbox = pages.find((page) => new URL(page.url).pathname === "/");
  if (inbox && url.origin === self.location.origin && url.pathname === "/") return inbox.focus();
  return self.clients.openWindow(url.href);
}
