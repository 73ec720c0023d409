// `deno task test [FILE…]`: runs the test files and ends with the line `N passed, N failed`. Tests of
// Linux guests, in tests/linux, run in the lab where this host's KVM cannot run Linux.

import { HostError } from "../core/errors.ts";
import { whyNoLinux } from "./linux/host.ts";
import { canRunLab, ensureLab, runInLab } from "./lab/lab.ts";
import { coverageLine } from "./virtio/coverage.ts";
import { whyNoKvm } from "./kvm/host.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const FOLDERS = ["tests", "devices", "plugins"];
/** Modules whose documentation has examples that run. */
const EXAMPLES = [
  "core/memory/ram_map.ts",
  "core/plugin.ts",
  "core/sys/struct.ts",
  "core/virtio/status.ts",
];
/** For one file, and for all: the last line is printed by then, whatever hangs. */
const FILE_SECONDS = 400;
const RUN_SECONDS = 27 * 60;
/** A lab has one processor and 4 GiB: two at once, where the host has both. */
const LABS = Math.max(
  1,
  Math.min(
    2,
    navigator.hardwareConcurrency,
    Math.floor(Deno.systemMemoryInfo().available / 2 ** 32),
  ),
);
/** Printed by a run inside the lab, which reports to the one outside. */
const JSON_FLAG = "--json";

/** What the tests of one file came to. */
interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  /** The file's whole output if a test failed, else empty. */
  readonly output: string;
}

/** What is printed, in order. */
let written: Promise<void> = Promise.resolve();

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  const asJson = args.includes(JSON_FLAG);
  const named = args.filter((arg) => arg !== JSON_FLAG);
  const files = named.length > 0 ? named : findTests();
  if (asJson) {
    for (const file of files) {
      await write(`${JSON.stringify(await runFile(file))}\n`);
    }
    return 0;
  }
  const end = performance.now() + RUN_SECONDS * 1000;
  const secondsLeft = () => Math.max(1, (end - performance.now()) / 1000);
  const inLab = await chooseForLab(files);
  const results: FileResult[] = [];
  for (const file of files.filter((file) => !inLab.has(file))) {
    await write(`${file} ... `);
    const result = performance.now() < end
      ? await runFile(file, Math.min(FILE_SECONDS, secondsLeft()))
      : lost(file, "There was no time left for this file");
    await write(summary(result));
    results.push(result);
  }
  if (inLab.size > 0) {
    results.push(...await runFilesInLab([...inLab], secondsLeft()));
  }
  return await conclude(results);
}

function findTests(): string[] {
  const found: string[] = [];
  const look = (folder: string): void => {
    for (const { name, isDirectory } of Deno.readDirSync(ROOT + folder)) {
      const path = `${folder}/${name}`;
      if (isDirectory) look(path);
      else if (name.endsWith("_test.ts")) found.push(path);
    }
  };
  FOLDERS.forEach(look);
  return [...EXAMPLES, ...found.sort()];
}

/** The files that need what this host has not and the lab has; where there is no lab, they skip here. */
async function chooseForLab(files: readonly string[]): Promise<Set<string>> {
  const folders = [
    ...(whyNoLinux() === null ? [] : ["tests/linux/"]),
    ...(whyNoKvm() === null ? [] : ["tests/kvm/"]),
  ];
  const wanted = files.filter((file) =>
    folders.some((folder) => file.startsWith(folder))
  );
  if (wanted.length === 0 || !canRunLab()) return new Set();
  try {
    await ensureLab({ onProgress: (message) => void write(`${message}\n`) });
    return new Set(wanted);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    await write(`There is no lab: ${error.message}\n`);
    return new Set();
  }
}

/** Runs the tests of one file in a process of its own. */
async function runFile(
  file: string,
  limit = FILE_SECONDS,
): Promise<FileResult> {
  const begin = performance.now();
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const doc = EXAMPLES.includes(file) ? ["--doc"] : [];
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "-A",
        "--no-check",
        ...doc,
        `--junit-path=${report}`,
        file,
      ],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let output = "";
    const collected = [child.stdout, child.stderr].map((stream) =>
      stream.pipeThrough(new TextDecoderStream()).pipeTo(
        new WritableStream({ write: (text) => void (output += text) }),
      )
    );
    let why = "";
    const late = setTimeout(() => {
      why = `took over ${limit.toFixed(0)} s\n`;
      child.kill("SIGKILL");
    }, limit * 1000);
    const { success } = await child.status;
    clearTimeout(late);
    // What a test left running may have the pipes open.
    await Promise.race([
      Promise.all(collected),
      new Promise((next) => setTimeout(next, 1000)),
    ]);
    const counts = countTests(await Deno.readTextFile(report));
    const total = counts.passed + counts.failed + counts.skipped;
    // A file that ends otherwise than by a test (a crash, a syntax error, no tests) counts as one failure.
    if (counts.failed === 0 && (!success || total === 0)) counts.failed = 1;
    const seconds = (performance.now() - begin) / 1000;
    return {
      file,
      ...counts,
      seconds,
      output: counts.failed ? why + output : "",
    };
  } finally {
    await Deno.remove(report);
  }
}

/** Counts the test cases of a JUnit report; an empty report has none. */
function countTests(
  xml: string,
): { passed: number; failed: number; skipped: number } {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [, body] of xml.matchAll(/<testcase\b[^>]*>(.*?)<\/testcase>/gs)) {
    if (/<(failure|error)\b/.test(body!)) counts.failed++;
    else if (body!.includes("<skipped")) counts.skipped++;
    else counts.passed++;
  }
  return counts;
}

/** Runs files in the lab, in as many machines at once as the host can have. */
async function runFilesInLab(
  files: readonly string[],
  seconds: number,
): Promise<FileResult[]> {
  await write(`In the lab: ${files.length} files\n`);
  await cacheModules(files);
  const shares = Array.from(
    { length: LABS },
    (_, lab) => files.filter((_file, i) => i % LABS === lab),
  );
  const results = await Promise.all(
    shares.filter((share) => share.length > 0).map((share) =>
      runInOneLab(share, seconds)
    ),
  );
  return results.flat();
}

/** Runs files in one session of the lab; those it says nothing of have failed. */
async function runInOneLab(
  files: readonly string[],
  seconds: number,
): Promise<FileResult[]> {
  const results: FileResult[] = [];
  let problem = "The lab's run ended without a word about this file";
  try {
    const { stderr } = await runInLab(
      [
        Deno.execPath(),
        "run",
        "-A",
        "--no-check",
        "tests/run.ts",
        JSON_FLAG,
        ...files,
      ],
      {
        cwd: ROOT,
        timeout: Math.floor(seconds),
        stdout: collector(results),
      },
    );
    problem = `${problem}\n${stderr}`;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    problem = error.message;
  }
  for (const file of files) {
    if (results.some((result) => result.file === file)) continue;
    results.push(lost(file, problem));
    await write(`${file} ... ${summary(results.at(-1)!)}`);
  }
  return results;
}

/** Of a file that was not run to its end: one failure. */
function lost(file: string, output: string): FileResult {
  return { file, passed: 0, failed: 1, skipped: 0, seconds: 0, output };
}

/** The lab has no network: what its tests import has to be in Deno's cache. */
async function cacheModules(files: readonly string[]): Promise<void> {
  await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", "--no-check", "tests/run.ts", ...files],
    cwd: ROOT,
  }).output();
}

/** Takes one result a line, and shows each as it comes. */
function collector(results: FileResult[]): WritableStream<Uint8Array> {
  const decoder = new TextDecoder();
  let text = "";
  return new WritableStream({
    async write(bytes) {
      const lines = (text + decoder.decode(bytes, { stream: true })).split(
        "\n",
      );
      text = lines.pop()!;
      for (const line of lines) {
        const result = parseResult(line);
        if (result === null) {
          await write(`The lab says: ${line}\n`);
          continue;
        }
        results.push(result);
        await write(`${result.file} ... ${summary(result)}`);
      }
    },
  });
}

/** Null for what is no result: something in the lab has printed it. */
function parseResult(line: string): FileResult | null {
  try {
    const result = JSON.parse(line);
    return typeof result?.file === "string" ? result : null;
  } catch {
    return null;
  }
}

function summary(result: FileResult): string {
  const { seconds, output } = result;
  const indented = output.trim().replace(/^/gm, "    ");
  return `${tally(result)} (${seconds.toFixed(1)} s)\n` +
    (output === "" ? "" : `${indented}\n`);
}

function tally(
  counts: Pick<FileResult, "passed" | "failed" | "skipped">,
): string {
  const { passed, failed, skipped } = counts;
  const rest = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${passed} passed, ${failed} failed${rest}`;
}

/** Names the files with failures again, and prints the last line. */
async function conclude(results: readonly FileResult[]): Promise<number> {
  const sum = (key: "passed" | "failed" | "skipped") =>
    results.reduce((total, result) => total + result[key], 0);
  const bad = results.filter(({ failed }) => failed > 0);
  if (bad.length > 0) {
    await write(`\nFailures in ${bad.map(({ file }) => file).join(", ")}\n`);
  }
  const total = {
    passed: sum("passed"),
    failed: sum("failed"),
    skipped: sum("skipped"),
  };
  await write(`${coverageLine()}\n${tally(total)}\n`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

/** In order: two labs report at once, and the stream takes one text at a time. */
function write(text: string): Promise<void> {
  return written = written.then(() =>
    new Blob([text]).stream().pipeTo(Deno.stdout.writable, {
      preventClose: true,
    })
  );
}
