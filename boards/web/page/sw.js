// Keeps the page for visits without a network. `build.sh` fills in what there is, and a name that changes with it.

const NAME = "pocketgan-@VERSION@";
/** Which of the modules this browser takes. */
const KIND = location.search.slice(1);
const FILES = "@FILES@".split(" ").filter((file) => !file.endsWith(".wasm") || file.endsWith(`-${KIND}.wasm`));

addEventListener("install", (event) => {
  // Past the browser's own cache, which may hold files of another version.
  const requests = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(requests)));
});

addEventListener("activate", (event) => {
  const forget = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith("pocketgan-") && name !== NAME).map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(forget());
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  const answer = async () => {
    const cache = await caches.open(NAME);
    return (await cache.match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(answer());
});
