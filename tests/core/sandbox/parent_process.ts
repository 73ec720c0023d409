// Starts a child and says its pid; for a test that kills this process.

import { spawnConfined } from "../../../core/sandbox/spawn.ts";

const child = await spawnConfined({
  sandbox: "off",
  entry: new URL("child_process.ts", import.meta.url),
  args: ["sleep"],
  permissions: [],
  stdout: "piped",
});
// It is up, and so has everything that ties it to this process.
await child.stdout!.getReader().read();
Deno.stdout.writeSync(new TextEncoder().encode(`${child.pid}`));
