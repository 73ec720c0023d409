// Paddock and bare Deno as the benchmarks start them: as processes, the way users do.

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
export const HELLO = new URL("../guests/hello/hello.elf", import.meta.url)
  .pathname;

/** `deno run -A main.ts run FLAGS… MANIFEST`. */
export function paddockCommand(
  manifest: string,
  ...flags: string[]
): Deno.Command {
  return denoCommand(MAIN, "run", ...flags, manifest);
}

/** `deno run -A SCRIPT ARGS…`. */
export function denoCommand(script: string, ...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, ...args],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Milliseconds since 1970, with fractions. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Runs `work` with a folder that is removed afterwards. */
export async function inFolder<Result>(
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await Deno.makeTempDir({ prefix: "paddock-bench-" });
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Why benchmarks that need KVM cannot run here; undefined where they can. */
export async function noKvm(): Promise<string | undefined> {
  try {
    (await Deno.open("/dev/kvm", { read: true, write: true })).close();
    return undefined;
  } catch {
    return "/dev/kvm cannot be opened; use a host with KVM, or the lab";
  }
}

/** Why nothing can be compared with C here; undefined where it can. */
export async function noCompiler(): Promise<string | undefined> {
  try {
    await output(new Deno.Command("cc", { args: ["--version"] }));
    return undefined;
  } catch {
    return "no cc in PATH; install gcc";
  }
}

/** Builds c/NAME.c in the folder; the program's path. */
export async function compile(name: string, folder: string): Promise<string> {
  const source = new URL(`c/${name}.c`, import.meta.url).pathname;
  const program = `${folder}/${name}`;
  const args = ["-std=gnu11", "-O2", "-o", program, source];
  await output(new Deno.Command("cc", { args }));
  return program;
}

/** The command's output; throws with what it said when it fails. */
export async function output(command: Deno.Command): Promise<string> {
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout) + text.decode(stderr);
  throw new Error(`A benchmark's command failed: ${text.decode(stderr)}`);
}

/** Prints a line on stdout. */
export function print(line: string): void {
  let bytes = new TextEncoder().encode(`${line}\n`);
  while (bytes.length > 0) {
    bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  }
}
