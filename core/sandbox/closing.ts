// Thread: main
// The last steps of closing a process, which it takes itself, first of all: what it inherited is its own, and seccomp, as
// who started it says.
import { cString, F_SETFD, FD_CLOEXEC, libc } from "../sys/libc.ts";
import { installSeccomp, type SeccompOptions } from "./seccomp.ts";

/** Deno.env would need a permission for it. */
const VARIABLE = "PADDOCK_SECCOMP";

/** Has Deno write its record of permissions to a file. */
export const AUDIT_VARIABLE = "DENO_AUDIT_PERMISSIONS";
/** More than are ever handed to a process, which come first. */
const MAX_INHERITED = 64;

/** The variable of the environment that makes {@linkcode closeProcess} close the child. */
export function closeVariable(
  options: SeccompOptions,
): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(options) };
}

/**
 * Keeps what this process inherited from the programs that it may start, and closes it when it was started with
 * `sandbox: "strict"`. A process entry calls it before it starts threads or reads anything that is not its own.
 */
export function closeProcess(): void {
  for (let fd = 3; fd < MAX_INHERITED; fd++) {
    libc.fcntl(fd, F_SETFD, FD_CLOEXEC); // EBADF where there is none
  }
  // Deno has it open; another deno would not find it.
  libc.unsetenv(cString(AUDIT_VARIABLE));
  const pointer = libc.getenv(cString(VARIABLE));
  if (pointer === null) return;
  const text = Deno.UnsafePointerView.getCString(pointer);
  installSeccomp(JSON.parse(text) as SeccompOptions);
}
