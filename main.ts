// Arguments → command → exit status. Each command is loaded when it is called, so that `run` pays for no other.
import {
  type CliArgs,
  type GlobalArgs,
  parseCliArgs,
} from "./core/cli/args.ts";
import { reportError } from "./core/cli/output.ts";
import type { PluginCommand } from "./core/cli/plugin_args.ts";

const registry = async () =>
  (await import("./devices/registry.ts")).builtInDevices;

/** Runs the command line and returns the process's exit status. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    return await runCommand(parseCliArgs(argv));
  } catch (error) {
    return reportError(error, argv.includes("--no-color") === false);
  }
}

async function runCommand(args: CliArgs): Promise<number> {
  switch (args.command) {
    case "run":
      return await (await import("./core/cli/run.ts")).run(args);
    case "init":
      return await (await import("./core/cli/init.ts"))
        .init(args, await registry());
    case "check":
      return await (await import("./core/cli/check.ts"))
        .check(args, await registry());
    case "permissions":
      return await (await import("./core/cli/permissions.ts"))
        .permissions(args, await registry());
    case "doctor":
      return await (await import("./core/cli/doctor.ts")).doctor(args);
    case "explain":
      return await (await import("./core/cli/explain.ts")).explain(args);
    case "schema":
      return await (await import("./core/cli/schema.ts"))
        .schema(args, await registry());
    case "help":
      return await (await import("./core/cli/help.ts")).help(args);
    case "version":
      return await (await import("./core/cli/help.ts")).version();
    default:
      return await runPluginCommand(args);
  }
}

async function runPluginCommand(
  args: GlobalArgs & PluginCommand,
): Promise<number> {
  switch (args.command) {
    case "plugin new":
      return await (await import("./core/cli/plugin_new.ts")).pluginNew(args);
    case "plugin test":
      return await (await import("./core/cli/plugin_conformance.ts"))
        .pluginTest(args, await registry());
    case "plugin list":
      return await (await import("./core/cli/plugin_list.ts"))
        .pluginList(args, await registry());
    case "plugin inspect":
      return await (await import("./core/cli/plugin_inspect.ts"))
        .pluginInspect(args, await registry());
    case "plugin serve":
      return await (await import("./core/cli/plugin_serve.ts"))
        .pluginServe(args, await registry());
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
