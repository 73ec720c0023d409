// A closed process whose main thread asks before it has passed its listener on, as it may for a thread that it waits for.

import { WILL_ASK } from "../../../core/sandbox/closing.ts";
import { installAskingSeccomp } from "../../../core/sandbox/seccomp.ts";
import type { SeccompOptions } from "../../../core/sandbox/seccomp_filter.ts";
import { cString, libc } from "../../../core/sys/libc.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";

const variable = libc.getenv(cString("PADDOCK_SECCOMP"))!;
const { reportTo, ...options } = JSON.parse(
  Deno.UnsafePointerView.getCString(variable),
) as SeccompOptions & { readonly reportTo: number };
const socket = new UnixSocket(reportTo);
socket.send(Uint8Array.of(WILL_ASK));
const listener = installAskingSeccomp(options)!;
const fd = libc.open(cString("/etc/shadow"), 0, 0);
Deno.stdout.writeSync(
  new TextEncoder().encode(`went on, ${fd < 0 ? "refused" : "opened"}`),
);
listener.close();
