// Thread: main
// `paddock plugin list`: the built-in devices, the examples, and those that a manifest uses, one line each.
import type { ModuleDeclaration } from "../device/module_declaration.ts";
import { ManifestError } from "../errors.ts";
import type { Registry } from "../manifest/built_in.ts";
import type { BackEndConfig } from "../manifest/config.ts";
import { exampleFolders } from "../manifest/examples.ts";
import { loadManifest } from "../manifest/load.ts";
import { oneLine } from "../manifest/text.ts";
import { deviceTypeName } from "../virtio/device_types.ts";
import type { ArgsOf } from "./args.ts";
import { printLine } from "./output.ts";
import { alignColumns, asData } from "./plugin_inspect.ts";
import {
  asksOf,
  declarationOf,
  findModule,
  type FoundModule,
} from "./plugin_module.ts";

interface Listed extends FoundModule {
  /** Where it comes from. */
  readonly from: string;
  /** Set where another program serves it, which is not asked. */
  readonly backEnd: BackEndConfig | undefined;
}

/** Exit status 1 when a module declares nothing that can be used. */
export async function pluginList(
  args: ArgsOf<"plugin list">,
  registry: Registry,
): Promise<number> {
  const listed = [
    ...[...registry.keys()].map((name) => ({
      from: "built-in",
      backEnd: undefined,
      ...findModule(name, registry),
    })),
    ...examples(registry),
    ...args.manifest === undefined ? [] : usedBy(args.manifest, registry),
  ];
  const declarations = await inspectAll(listed);
  const all = listed.map((device) => ({
    device,
    declaration: declarations.get(device.module) ?? "",
  }));
  if (args.json) printLine(JSON.stringify(all.map(asJson), null, 2));
  else alignColumns(all.map(asRow)).forEach(printLine);
  const broken = all.some(({ device, declaration }) =>
    device.backEnd === undefined && typeof declaration === "string"
  );
  return broken ? 1 : 0;
}

function examples(registry: Registry): Listed[] {
  return exampleFolders().map((folder) => ({
    from: "example",
    backEnd: undefined,
    ...findModule(folder, registry),
  }));
}

function usedBy(manifest: string, registry: Registry): Listed[] {
  const { name: from, devices } = loadManifest(manifest, registry);
  const builtIns = [...registry.values()];
  return devices.map(({ name, module, backEnd }) => ({
    from,
    name,
    module,
    backEnd,
    builtIn: builtIns.find((builtIn) => builtIn.module === module),
  }));
}

/** What each module declares, or one line that says why it declares nothing; each is asked once. */
async function inspectAll(
  listed: readonly Listed[],
): Promise<Map<string, ModuleDeclaration | string>> {
  const asked = listed.filter(({ backEnd }) => backEnd === undefined);
  const modules = new Map(asked.map((device) => [device.module, device]));
  const inspect = async (device: Listed) => {
    try {
      return await declarationOf(device);
    } catch (error) {
      if (error instanceof ManifestError) return error.message;
      throw error;
    }
  };
  return new Map(
    await Promise.all(
      [...modules].map(async ([module, device]) =>
        [module, await inspect(device)] as const
      ),
    ),
  );
}

interface Answer {
  readonly device: Listed;
  readonly declaration: ModuleDeclaration | string;
}

function asJson({ device, declaration }: Answer) {
  const { from, name, module, backEnd } = device;
  if (backEnd !== undefined) {
    const { id, queues, socket } = backEnd;
    return { from, name, id, queues, socket };
  }
  return typeof declaration === "string"
    ? { from, name, module, problem: declaration }
    : { from, ...asData(device, declaration) };
}

function asRow({ device, declaration }: Answer): string[] {
  const { from, name, backEnd } = device;
  if (backEnd !== undefined) {
    const { id, queues, socket } = backEnd;
    return [
      from,
      name,
      `${id}, ${deviceTypeName(id)}`,
      `${queues} in all`,
      `served at ${oneLine(socket)}`,
    ];
  }
  if (typeof declaration === "string") return [from, name, declaration];
  const { id, queues } = declaration;
  const asks = asksOf(device, declaration);
  return [
    from,
    name,
    `${id}, ${deviceTypeName(id)}`,
    Object.keys(queues).map(oneLine).join(", ") || "no queue",
    asks.length === 0 ? "asks for nothing" : `asks for ${asks.join(", ")}`,
  ];
}
