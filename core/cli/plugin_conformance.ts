// Thread: main
// `paddock plugin test`: runs the conformance kit on a device, and prints what came of each check.
import {
  type Check,
  type Refusal,
  refusalIn,
  type Report,
} from "../conformance/check.ts";
import { testPlugin } from "../conformance/kit.ts";
import { HostDisk } from "../device/host_disk.ts";
import {
  type PreparedDevice,
  prepareDevice,
} from "../device/prepare_device.ts";
import {
  NOTHING,
  type PermissionSet,
  type Registry,
} from "../manifest/built_in.ts";
import { oneLine } from "../manifest/text.ts";
import { printLine, quoteForShell, useColor } from "./output.ts";
import { findModule, grantLine } from "./plugin_module.ts";

export interface PluginTestArgs {
  /** A built-in device's name, a path, or a module's URL. */
  readonly module: string;
  /** As a manifest has them; paths are relative to the working directory. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly permissions: PermissionSet;
  readonly json: boolean;
  readonly color: boolean;
}

const FIELD = "--options";
/** Of a module that declares nothing, which the first check says. */
const UNDECLARED: PreparedDevice = { options: {}, permissions: NOTHING };

/** Exit status 0 when all checks were run and pass, else 1. Throws a UsageError or ManifestError for what means nothing. */
export async function pluginTest(
  args: PluginTestArgs,
  registry: Registry,
): Promise<number> {
  const { json } = args;
  const color = useColor(args.color);
  const found = findModule(args.module, registry);
  const { module, builtIn } = found;
  const prepared = await prepareDevice(
    module,
    builtIn,
    args.options,
    FIELD,
    args.permissions,
  );
  const { options, permissions, disk } = typeof prepared === "string"
    ? UNDECLARED
    : prepared;
  // A disk that a machine uses is not for tests.
  using _locked = disk === undefined ? null : new HostDisk(disk, FIELD);
  if (!json) printLine(grantLine(found.name, permissions));
  const report = await testPlugin({
    module,
    options,
    permissions,
    onResult: (check) =>
      json ? printLine(JSON.stringify(check)) : print(check, color),
  });
  printEnd(report, json);
  const refusal = refusalIn(report.checks.at(-1)?.detail ?? "");
  if (!json && refusal !== null) printRemedy(refusal, args.permissions);
  return report.failed === 0 && report.stopped === null ? 0 : 1;
}

function print(
  { ok, name, section, detail, asks }: Check,
  color: boolean,
): void {
  const word = ok ? "ok  " : "FAIL";
  const mark = color ? `\x1b[${ok ? "32" : "31"}m${word}\x1b[0m` : word;
  printLine(`${mark}  ${oneLine(name)} (${section})`);
  if (ok) return;
  printLine(`      ${oneLine(detail)}`);
  printLine(`      → ${asks}`);
}

function printEnd(report: Report, json: boolean): void {
  const { passed, failed, notRun, stopped } = report;
  if (json) {
    return printLine(JSON.stringify({ passed, failed, notRun, stopped }));
  }
  if (stopped !== null) {
    printLine(`${notRun.length} checks were not run: ${stopped}`);
  }
  printLine(`${passed} passed, ${failed} failed`);
}

/** All of the option, with what is missing. */
function printRemedy(
  { permission, value }: Refusal,
  granted: PermissionSet,
): void {
  const lists = Object.entries({
    ...granted,
    // Deno does not always say: then a word that is no value.
    [permission]: [...granted[permission], value ?? permission.toUpperCase()],
  }).filter(([, list]) => list.length > 0)
    .map(([kind, list]) => `"${kind}": ${JSON.stringify(list)}`);
  const option = quoteForShell(`{ ${lists.join(", ")} }`);
  printLine(`Try again with --permissions ${option}`);
}
