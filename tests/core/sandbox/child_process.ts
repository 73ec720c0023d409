// A child that does what its first argument says.

import { closeProcess } from "../../../core/sandbox/closing.ts";
import { libc } from "../../../core/sys/libc.ts";

closeProcess();
const [what, ...args] = Deno.args;
const print = (text: string) =>
  Deno.stdout.writeSync(new TextEncoder().encode(text));

async function startWorker(): Promise<void> {
  const worker = new Worker("data:text/javascript,postMessage(0)", {
    type: "module",
  });
  await new Promise((resolve) => worker.onmessage = resolve);
}

async function connect(port: number): Promise<string> {
  try {
    using _ = await Deno.connect({ hostname: "localhost", port });
    return "connected";
  } catch (error) {
    return (error as Error).name;
  }
}

switch (what) {
  case "echo":
    for await (const bytes of Deno.stdin.readable) Deno.stdout.writeSync(bytes);
    break;
  case "fds":
    print(
      [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name)
        .filter((name) => {
          try {
            return Deno.readLinkSync(`/proc/self/fd/${name}`)
              .startsWith("pipe:");
          } catch {
            return false;
          }
        }).sort().join(),
    );
    break;
  case "program": {
    const script = "echo /proc/self/fd/*; echo $DENO_AUDIT_PERMISSIONS";
    const { stdout } = await new Deno.Command("/bin/sh", {
      args: ["-c", script],
    }).output();
    print(new TextDecoder().decode(stdout).trim());
    break;
  }
  case "write":
    libc.write(Number(args[0]), new TextEncoder().encode("hi"), 2);
    break;
  case "exit":
    Deno.exit(Number(args[0]));
    break;
  case "sleep":
    setTimeout(() => {}, 60_000);
    print("up");
    break;
  case "allocate": {
    await startWorker();
    const held: Uint8Array[] = [];
    try {
      while (held.length < 32) {
        held.push(new Uint8Array(8 * 2 ** 20).fill(1));
        print(".");
      }
    } catch (error) {
      print((error as Error).name);
    }
    Deno.exit();
    break;
  }
  case "grow": {
    const held: number[][] = [];
    for (;;) held.push(new Array(10_000).fill(1.5));
  }
  case "environment":
    print(JSON.stringify(Deno.env.toObject()));
    break;
  case "worker":
    await startWorker();
    print("started");
    Deno.exit();
    break;
  case "connect":
    print((await Promise.all(args.map(Number).map(connect))).join());
}
