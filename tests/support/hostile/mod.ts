// A plugin that tries what it is told to, and tells what came of it: for tests of what holds it.
import { defineDevice } from "../../../core/plugin.ts";

const ATTACKS: Readonly<Record<string, () => unknown>> = {
  "read a file": () => Deno.readTextFile("/etc/shadow"),
  "read its own folder": () =>
    Deno.readTextFile(new URL("mod.ts", import.meta.url)),
  "follow a symlink": () => Deno.readTextFile("/proc/self/root/etc/passwd"),
  "import a file": () => import(["/etc", "hostname"].join("/")),
  "import from the web": () => import(["https://example.org", "x"].join("/")),
  "write a file": () => Deno.writeTextFile("/tmp/paddock-attack", "x"),
  "open a socket": () => Deno.connect({ hostname: "127.0.0.1", port: 22 }),
  "listen": () => Promise.try(() => Deno.listen({ port: 0 })),
  "fetch": () => fetch("http://127.0.0.1:8080"),
  "spawn": () => new Deno.Command("/bin/sh", { stdin: "null" }).output(),
  "spawn by name": () => new Deno.Command("sh", { stdin: "null" }).output(),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "make a pointer": () => Deno.UnsafePointer.create(4096n),
  "read the environment": () => Deno.env.get("HOME"),
  "ask for the host's name": () => Deno.hostname(),
  "signal the parent": () => Deno.kill(Deno.ppid, "SIGTERM"),
  "start a worker with all rights": () =>
    new Promise((_, reject) => {
      const url = URL.createObjectURL(
        new Blob(["Deno.readTextFileSync('/etc/shadow')"]),
      );
      const worker = new Worker(url, {
        type: "module",
        deno: { permissions: { read: true } },
      });
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    }),
  "grant itself more": () =>
    Deno.permissions.request({ name: "read" }).then(({ state }) => state),
  "forge messages of the VM": () => {
    const event = { type: "event", name: "exit" };
    const detail = { reason: "poweroff", detail: "forged" };
    const line = `\n${JSON.stringify({ ...event, detail })}\n`;
    Deno.stderr.writeSync(new TextEncoder().encode("printed by a plugin\n"));
    return Deno.stdout.writeSync(new TextEncoder().encode(line));
  },
  "read what the VM is told": () => Deno.stdin.readSync(new Uint8Array(64)),
  // What it does not survive.
  "declare itself twice": () =>
    postMessage({ type: "declared", declaration: {} }),
  "post what is no message": () => postMessage({ type: "mmio", offset: 0 }),
  "punch a hole": () =>
    postMessage({ type: "punch-hole", id: 0, offset: 0, length: 2 ** 40 }),
  "flood": () => {
    for (let i = 0; i < 2_000_000; i++) postMessage({ type: "port", data: i });
  },
  "exhaust the heap": () => {
    const all: unknown[] = [];
    for (;;) all.push(new Array(100_000).fill(all.length));
  },
  "exhaust typed arrays": () => {
    const all: Uint8Array[] = [];
    for (;;) all.push(new Uint8Array(64 << 20).fill(1));
  },
  "spin": () => {
    for (;;);
  },
};

export default defineDevice({
  id: 4,
  queues: { requestq: 64 },
  create: ({ port }) => {
    port.onmessage = async (attack) => {
      try {
        const result = await ATTACKS[String(attack)]!();
        port.postMessage(`done: ${JSON.stringify(result)}`);
      } catch (error) {
        port.postMessage(`refused: ${error}`);
      }
    };
    return {
      queues: {
        requestq: ({ writable }) => writable.fill(1, writable.remaining),
      },
    };
  },
});
