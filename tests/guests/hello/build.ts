// Builds hello.elf, the guest of a few KB that needs no operating system, and records the compiler.
// Run it as `deno run -A tests/guests/hello/build.ts` after a change to a source next to it.

const folder = import.meta.dirname!;
const SOURCES = ["start.S", "hello.c", "virtio.c"];
const COMPILE = ["-m64", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"];
/** No C library, nothing that needs a dynamic loader, and sections for unwinding left out. */
const FREESTANDING = [
  ["-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pie", "-fno-pic"],
  [
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
  ],
  ["-fno-tree-loop-distribute-patterns"], // else loops become calls of memset and memcpy
].flat();
/** Integer registers only: nobody switched the FPU on. Interrupts could use the red zone. */
const MACHINE = ["-mno-sse", "-mno-mmx", "-mno-80387", "-mno-red-zone"];
/** Stripped, unpadded, and with nothing in it that differs from one build to the next. */
const LINK = [
  "-s",
  "-Wl,-n,--build-id=none,--no-warn-rwx-segments,-z,noexecstack,-T,guest.ld",
];

/** Where the committed image is, and the record of what built it. */
export const IMAGE = `${folder}/hello.elf`;
export const RECORD = `${folder}/hello.elf.json`;

/** What {@linkcode RECORD} holds: images differ between versions of the compiler and the linker. */
export interface Toolchain {
  readonly gcc: string;
  readonly ld: string;
}

/** The toolchain of this machine; undefined without a gcc for x86-64. */
export async function toolchain(): Promise<Toolchain | undefined> {
  try {
    if (!(await output("gcc", ["-dumpmachine"])).startsWith("x86_64-linux")) {
      return undefined;
    }
    return { gcc: await firstLine("gcc"), ld: await firstLine("ld") };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Compiles and links the guest to the file `image`. */
export async function build(image: string): Promise<void> {
  const flags = [...COMPILE, ...FREESTANDING, ...MACHINE, ...LINK];
  await output("gcc", [...flags, "-o", image, ...SOURCES]);
  await Deno.chmod(image, 0o644);
}

async function firstLine(command: string): Promise<string> {
  return (await output(command, ["--version"])).split("\n", 1)[0]!;
}

async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd: folder,
  })
    .output();
  const text = new TextDecoder();
  if (!success) {
    throw new Error(`${command} failed; correct this:\n${text.decode(stderr)}`);
  }
  return text.decode(stdout);
}

if (import.meta.main) {
  const found = await toolchain();
  if (found === undefined) {
    throw new Error("No gcc for x86-64 here; install gcc and binutils");
  }
  await build(IMAGE);
  await Deno.writeTextFile(RECORD, JSON.stringify(found, null, 2) + "\n");
}
