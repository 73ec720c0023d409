import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HostError } from "../../core/errors.ts";
import { canRunLab, runInLab } from "./lab.ts";

const ignore = !canRunLab();

Deno.test("runInLab() passes input, both outputs and the exit status", {
  ignore,
}, async () => {
  const script = "read line; echo got $line; echo oops >/dev/stderr; exit 7";
  const result = await runInLab(["sh", "-c", script], {
    stdin: new Blob(["a line\n"]).stream(),
    timeout: 60,
  });
  assertEquals(result, { code: 7, stdout: "got a line\n", stderr: "oops\n" });
});

Deno.test("runInLab() loses none of a large output", { ignore }, async () => {
  const script = "yes 0123456789abcde | head -c 4000000";
  const { stdout } = await runInLab(["sh", "-c", script], { timeout: 60 });
  assertEquals(stdout, "0123456789abcde\n".repeat(250_000));
});

Deno.test("runInLab() gives words, folder and variables as they are", {
  ignore,
}, async () => {
  const { stdout } = await runInLab(
    ["sh", "-c", 'echo "$0|$1|$PWD|$TEST_WORD"', "it's", "a  b$HOME"],
    { cwd: "/tmp", env: { TEST_WORD: "'quoted'\n\"twice\"" }, timeout: 60 },
  );
  assertEquals(stdout, "it's|a  b$HOME|/tmp|'quoted'\n\"twice\"\n");
});

Deno.test(
  "Lab has KVM, this Deno and this repository",
  { ignore },
  async () => {
    const program = `
    const libc = Deno.dlopen("libc.so.6", {
      open: { parameters: ["buffer", "i32"], result: "i32" },
      ioctl: { parameters: ["i32", "u64", "u64"], result: "i32" },
    });
    const fd = libc.symbols.open(new TextEncoder().encode("/dev/kvm\\0"), 2);
    const version = libc.symbols.ioctl(fd, 0xae00n, 0n);
    const { HostError } = await import(${
      JSON.stringify(import.meta.resolve("../../core/errors.ts"))
    });
    console.log(Deno.version.deno, Deno.execPath(), version, new HostError("x").name);`;
    const { code, stdout } = await runInLab(
      [Deno.execPath(), "eval", program],
      { timeout: 60, env: { NO_COLOR: "1" } },
    );
    assertEquals(
      [code, stdout],
      [0, `${Deno.version.deno} ${Deno.execPath()} 12 HostError\n`],
    );
  },
);

Deno.test("runInLab() ends what takes too long, and leaves nothing behind", {
  ignore,
}, async () => {
  const saved = Deno.env.get("TMPDIR");
  const folder = await Deno.makeTempDir();
  Deno.env.set("TMPDIR", folder);
  try {
    const error = await assertRejects(
      () => runInLab(["sleep", "100"], { timeout: 1 }),
      HostError,
    );
    assertStringIncludes(error.message, "did not end within 1 s");
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    if (saved === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", saved);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("runInLab() with a signal that was given already does not start", {
  ignore,
}, async () => {
  await assertRejects(
    () => runInLab(["true"], { signal: AbortSignal.abort() }),
    HostError,
    "ended before its start",
  );
});
