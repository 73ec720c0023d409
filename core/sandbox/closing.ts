// Thread: main
// The last step of closing a process, which it takes itself, first of all: seccomp, as who started it says.
import { cString, libc } from "../sys/libc.ts";
import { installSeccomp, type SeccompOptions } from "./seccomp.ts";

/** Deno.env would need a permission for it. */
const VARIABLE = "PADDOCK_SECCOMP";

/** The variable of the environment that makes {@linkcode closeProcess} close the child. */
export function closeVariable(
  options: SeccompOptions,
): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(options) };
}

/**
 * Closes this process when it was started with `sandbox: "strict"`; else does nothing. A process entry calls it before
 * it starts threads or reads anything that is not its own.
 */
export function closeProcess(): void {
  const pointer = libc.getenv(cString(VARIABLE));
  if (pointer === null) return;
  const text = Deno.UnsafePointerView.getCString(pointer);
  installSeccomp(JSON.parse(text) as SeccompOptions);
}
