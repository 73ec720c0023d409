// What tests of the sandbox need of the host, and how they start a child and collect what it prints.

import type { Child } from "../../../core/sandbox/child.ts";
import { landlockAbi } from "../../../core/sandbox/landlock.ts";
import { hasSeccomp } from "../../../core/sandbox/seccomp.ts";
import {
  type ConfinedOptions,
  spawnConfined,
} from "../../../core/sandbox/spawn.ts";

/** Null where the kernel has all that is tested here, else one line that says what it lacks. */
export const whyNoSandbox: string | null = landlockAbi() < 6
  ? `this kernel's Landlock has ABI ${landlockAbi()}, not 6`
  : hasSeccomp()
  ? null
  : "this kernel has no seccomp filters";

/** A test that needs Landlock and seccomp. */
export function sandboxTest(name: string, fn: () => Promise<void>): void {
  if (whyNoSandbox === null) Deno.test(name, fn);
  else Deno.test.ignore(`${name} (skipped: ${whyNoSandbox})`, fn);
}

/** A module beside this file. */
export const beside = (name: string) => new URL(name, import.meta.url);
export const here = beside(".").pathname;

/** Starts a child, and returns how it ended and what it printed. */
export async function runChild(
  options: ConfinedOptions,
): Promise<{ child: Child; code: number; stdout: string; stderr: string }> {
  const child = await spawnConfined({
    stdout: "piped",
    stderr: "piped",
    ...options,
  });
  const [stdout, stderr, { code }] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.status,
  ]);
  return { child, code, stdout, stderr };
}
