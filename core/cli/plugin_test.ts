// Thread: main
// `paddock plugin test`: runs the conformance kit on a device, and prints what came of each check.
import type { Check, Report } from "../conformance/check.ts";
import { testPlugin } from "../conformance/kit.ts";
import { askedPermissions } from "../device/asks.ts";
import { checkOptions } from "../device/check_plugins.ts";
import { HostDisk } from "../device/host_disk.ts";
import { inspectModule } from "../device/inspect.ts";
import { cacheModule, importHosts, isRemote } from "../device/remote_module.ts";
import type {
  Consequences,
  PermissionSet,
  Registry,
} from "../manifest/built_in.ts";
import { resolve } from "../manifest/paths.ts";
import { oneLine } from "../manifest/text.ts";
import { printLine, useColor } from "./output.ts";
import { findModule, type FoundModule } from "./plugin_module.ts";

export interface PluginTestArgs {
  /** A built-in device's name, a path, or a module's URL. */
  readonly module: string;
  /** As a manifest has them; paths are relative to the working directory. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  readonly color: boolean;
}

/** A device's options, complete, and what comes of them. */
interface Prepared {
  readonly options: Readonly<Record<string, unknown>>;
  readonly permissions: PermissionSet;
  readonly disk?: Consequences["disk"];
}

const FIELD = "--options";
const NOTHING = { read: [], write: [], net: [], env: [], run: [], import: [] };

/** Exit status 0 when all checks were run and pass, else 1. Throws a UsageError or ManifestError for what means nothing. */
export async function pluginTest(
  args: PluginTestArgs,
  registry: Registry,
): Promise<number> {
  const { json } = args;
  const color = useColor(args.color);
  const found = findModule(args.module, registry);
  const { options, permissions, disk } = await prepare(found, args.options);
  // A disk that a machine uses is not for tests.
  using _locked = disk === undefined ? null : new HostDisk(disk, FIELD);
  if (!json) printLine(`${found.name} is granted ${listed(permissions)}`);
  const report = await testPlugin({
    module: found.module,
    options,
    permissions,
    onResult: (check) =>
      json ? printLine(JSON.stringify(check)) : print(check, color),
  });
  printEnd(report, json);
  return report.failed === 0 && report.stopped === null ? 0 : 1;
}

/** The device gets what it asks for, or what its options imply where it is built in. */
async function prepare(
  { module, builtIn }: FoundModule,
  given: Readonly<Record<string, unknown>>,
): Promise<Prepared> {
  const folder = resolve(".");
  if (builtIn !== undefined) {
    const options = checkOptions(builtIn, given, FIELD, folder);
    const { permissions, ...rest } = builtIn.configure(options);
    return { options, permissions: { ...NOTHING, ...permissions }, ...rest };
  }
  if (isRemote(module)) await cacheModule(module, importHosts(module), "");
  const declaration = await inspectModule(module);
  // The first check says so.
  if (typeof declaration === "string") {
    return { options: {}, permissions: NOTHING };
  }
  const options = checkOptions(declaration, given, FIELD, folder);
  const permissions = askedPermissions(declaration, options, folder);
  return { options, permissions };
}

/** "what it asks for: read /tmp/disk.img". */
function listed(permissions: PermissionSet): string {
  const all = Object.entries(permissions).flatMap(([kind, values]) =>
    values.map((value: string) => oneLine(`${kind} ${value}`))
  );
  return all.length === 0
    ? "nothing, as it asks for nothing"
    : `what it asks for: ${all.join(", ")}`;
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
