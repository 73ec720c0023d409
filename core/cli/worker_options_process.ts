// Thread: main
// Starts a worker with permissions of its own, as each device has them: without the option, Deno ends this process.
new Worker("data:text/javascript,", {
  type: "module",
  deno: { permissions: "none" },
}).terminate();
