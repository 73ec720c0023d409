// Thread: main
// The conformance kit: brings a plugin up in its real worker, without KVM, and tries what a driver and a VM do to it.
import { inspectModule } from "../device/inspect.ts";
import type { ModuleDeclaration } from "../device/module_declaration.ts";
import { Bench } from "./bench.ts";
import {
  api,
  type Check,
  Finding,
  messageOf,
  type PlannedCheck,
  refusalIn,
  refusedText,
  type Report,
} from "./check.ts";
import { burst, malformed, shapes, withoutFeatures } from "./data_checks.ts";
import { BLAME_MS } from "./exchange.ts";
import { protocolChecks } from "./known_devices.ts";
import { CLOSE, PAUSES, queueReset, QUIET, resets } from "./life_checks.ts";
import { BUDGET_MS, type MachineOptions, sleep } from "./machine.ts";
import {
  activation,
  CONFIG_ALIGNED,
  CONFIG_READ_ONLY,
  CONFIG_STABLE,
  FEATURES_OK,
  OFFERED_FEATURES,
  REGISTERS,
} from "./setup_checks.ts";

export type { Check, Report } from "./check.ts";

/** What is tested, and how. */
export interface TestPluginOptions extends MachineOptions {
  /** Called with each check as it is done. */
  onResult(check: Check): void;
}

/** How long a message of the device may be behind its last answer. */
const MESSAGE_MS = 5;

/** How long a device is tried, and one that has failed. */
const LIMIT_MS = 60_000;
const FAILED_LIMIT_MS = 20_000;

const DECLARES = {
  name: "its declaration can be read without running it",
  section: api("defineDevice"),
  asks:
    "A module's default export is defineDevice({ … }), and loading it needs no permission.",
} as const;

/** Of a check that Deno made fail. */
const ASKS_FIRST =
  "What a device needs it asks for, in permissions of its declaration, and is granted.";

const STARTS: PlannedCheck = {
  name: "it starts, and declares itself in time",
  section: api("create"),
  asks: `create() returns a device within ${
    BUDGET_MS / 1000
  } s, with one handler a queue, and the permissions that it asks for suffice.`,
  async run({ machine: { host } }) {
    const started = performance.now();
    host.start();
    await host.declared;
    if (host.failed) throw new Finding("the device did not start");
    return `after ${Math.round(performance.now() - started)} ms`;
  },
};

/** All checks behind the start, in an order in which later ones know what earlier ones found. */
function plan(bench: Bench): PlannedCheck[] {
  return [
    REGISTERS,
    OFFERED_FEATURES,
    FEATURES_OK,
    CONFIG_ALIGNED,
    CONFIG_STABLE,
    CONFIG_READ_ONLY,
    QUIET,
    ...protocolChecks(bench),
    ...(["split", "packed"] as const).flatMap((format) => [
      activation(format),
      ...shapes(format),
      withoutFeatures(format),
      burst(format),
      ...malformed(format),
      resets(format),
      queueReset(format),
    ]),
    PAUSES,
    CLOSE,
  ];
}

/**
 * Runs all checks against a plugin: in a worker with exactly these permissions, its options checked already. Needs
 * `--allow-run` for Deno itself, and what is granted.
 */
export async function testPlugin(options: TestPluginOptions): Promise<Report> {
  const checks: Check[] = [];
  const record = (check: Check) => {
    checks.push(check);
    options.onResult(check);
  };
  const { module, permissions } = options;
  const declaration = await inspectModule(module, permissions.read);
  record(inspected(declaration));
  let rest: Rest = { notRun: [], stopped: null };
  if (typeof declaration !== "string") {
    const bench = new Bench(options, declaration);
    try {
      rest = await runAll(bench, record);
    } finally {
      await bench.machine.host.close();
    }
  }
  const passed = checks.filter(({ ok }) => ok).length;
  return { checks, passed, failed: checks.length - passed, ...rest };
}

type Rest = Pick<Report, "notRun" | "stopped">;

/** Runs one check after the other, as long as there is a device, and a reason to go on. */
async function runAll(
  bench: Bench,
  record: (check: Check) => void,
): Promise<Rest> {
  const checks = [STARTS, ...plan(bench)];
  const started = performance.now();
  let failed = false;
  let refused: string | null = null;
  for (const [i, planned] of checks.entries()) {
    const limit = failed ? FAILED_LIMIT_MS : LIMIT_MS;
    const stopped = refused !== null
      ? `it is not granted ${refused}`
      : bench.machine.host.failed
      ? "the device was cut off"
      : performance.now() - started > limit
      ? `the device takes over ${limit / 1000} s`
      : null;
    if (stopped !== null) {
      return { notRun: checks.slice(i).map(({ name }) => name), stopped };
    }
    const check = await runCheck(planned, bench);
    failed ||= !check.ok;
    // All that come later would fail of the same.
    const refusal = check.ok ? null : refusalIn(check.detail);
    if (refusal !== null) refused = refusedText(refusal);
    record(refusal === null ? check : { ...check, asks: ASKS_FIRST });
  }
  return { notRun: [], stopped: null };
}

function inspected(declaration: ModuleDeclaration | string): Check {
  return typeof declaration === "string"
    ? { ...DECLARES, ok: false, detail: declaration }
    : { ...DECLARES, ok: true, detail: "" };
}

/** Runs one check and resets the device; a failure of its code meanwhile fails the check. */
async function runCheck(planned: PlannedCheck, bench: Bench): Promise<Check> {
  const { name, section, asks } = planned;
  const { machine } = bench;
  machine.faults = [];
  machine.violations = [];
  const problems: string[] = [];
  let remark = "";
  try {
    remark = await planned.run(bench) ?? "";
    if (planned !== CLOSE) await bench.reset();
  } catch (error) {
    problems.push(messageOf(error));
    // The device's own words may still be on the way.
    const isTold = () => !machine.needsReset || machine.faults.length > 0;
    await machine.until(isTold, BLAME_MS);
  }
  await sleep(MESSAGE_MS);
  problems.push(...new Set([...machine.faults, ...machine.violations]));
  const ok = problems.length === 0;
  return { name, section, ok, detail: ok ? remark : problems.join("; "), asks };
}
