// Thread: any
// What a device module declares, before a device is made of it: described where it was loaded, checked where it is used.
import type { OptionSchema, OptionsSchema } from "../manifest/options.ts";
import type { PermissionAsks, PermissionName } from "../plugin.ts";
import type { FeatureNeed } from "../virtio/device_host.ts";
import { MAX_CONFIG, MAX_QUEUES } from "../virtio/device_page.ts";
import {
  type ConfigLayout,
  configSize,
  fieldSize,
  placeFields,
} from "../virtio/config_layout.ts";
import {
  broken,
  type Entries,
  entriesOf,
  isInteger,
  PAGE,
  shown,
} from "./declaration_checks.ts";
import { isText, optionsProblem } from "./option_declaration.ts";

/** Each head keeps its segments between requests, so that the largest queue bounds what a guest can pin: some 25 MB. */
const MAX_DECLARED_SIZE = 1024;
export const MAX_FEATURES = 64;

/** A device module's declaration: plain data. */
export interface ModuleDeclaration {
  readonly id: number;
  readonly features: Readonly<Record<string, number>>;
  readonly featureNeeds: Readonly<Record<string, readonly string[]>>;
  readonly queues: Readonly<Record<string, number>>;
  readonly config: ConfigLayout;
  readonly options: OptionsSchema;
  readonly permissions: PermissionAsks;
}

/** Its plain data, and the function that makes the device. */
export interface DeviceModule extends ModuleDeclaration {
  create(context: unknown): unknown;
}

// Bits 24 to 41 and what is reserved behind them belong to rings and transport (virtio-v1.3 §2.2).
const isDeviceFeature = (bit: unknown): boolean =>
  isInteger(bit, 0, 23) || isInteger(bit, 50, 63);

/** What is wrong with the size of a declared queue. */
export function sizeProblem(name: string, size: unknown): string | null {
  if (isInteger(size, 1, MAX_DECLARED_SIZE) && (size & (size - 1)) === 0) {
    return null;
  }
  return `declares size ${
    shown(size)
  } for queue ${name}; it is a power of two up to ${MAX_DECLARED_SIZE} (virtio-v1.3 §2.7)`;
}

/** What is wrong with a declared feature bit. */
export function featureProblem(bit: unknown): string | null {
  return isDeviceFeature(bit)
    ? null
    : `declares feature bit ${
      shown(bit)
    }; a device's own are 0–23 and 50–63 (virtio-v1.3 §2.2)`;
}

/** Throws a TypeError that says what the contract asks for; `exported` is a module's default export. */
export function readModule(exported: unknown): DeviceModule {
  const problem = moduleProblem(exported);
  if (problem !== null) throw new TypeError(problem);
  const definition = exported as Partial<DeviceModule>;
  const { create } = definition;
  if (typeof create !== "function") {
    throw new TypeError(
      broken("declares no function create, which makes the device", "create"),
    );
  }
  return {
    ...declarationOf(definition),
    create: (context) => create.call(exported, context),
  };
}

function declarationOf(
  definition: Partial<ModuleDeclaration>,
): ModuleDeclaration {
  const { id, queues, features = {}, featureNeeds = {} } = definition;
  const { config = {}, options = {}, permissions = {} } = definition;
  return {
    id: id!,
    features,
    featureNeeds,
    queues: queues!,
    config,
    options,
    permissions,
  };
}

/** The features that need others, by bits. */
export function needsOf(
  { features, featureNeeds }: Pick<
    ModuleDeclaration,
    "features" | "featureNeeds"
  >,
): FeatureNeed[] {
  return Object.entries(featureNeeds).flatMap(([name, needed]) =>
    needed.map((other) => [features[name]!, features[other]!] as const)
  );
}

/** A checked copy of a declaration that came as plain data, else what is wrong with it. */
export function readModuleDeclaration(
  data: unknown,
): ModuleDeclaration | string {
  const problem = moduleProblem(data);
  if (problem !== null) return problem;
  return structuredClone(declarationOf(data as Partial<ModuleDeclaration>));
}

function moduleProblem(exported: unknown): string | null {
  if (typeof exported !== "object" || exported === null) {
    return broken(
      "its default export is not defineDevice({ … })",
      "defineDevice",
    );
  }
  const misnamed = misnamedField(exported);
  if (misnamed !== null) return misnamed;
  const { id, features, featureNeeds, queues, config, options, permissions } =
    exported as Record<string, unknown>;
  if (!isInteger(id, 1, 0xffff)) {
    return broken(
      `declares id ${shown(id)}; a virtio device id is 1 to 65535`,
      "id",
    );
  }
  return featuresProblem(entriesOf(features)) ??
    needsProblem(entriesOf(featureNeeds), entriesOf(features)!) ??
    queuesProblem(entriesOf(queues ?? null)) ??
    configProblem(entriesOf(config)) ??
    optionsProblem(entriesOf(options)) ??
    permissionsProblem(entriesOf(permissions), entriesOf(options)!);
}

const FIELDS = [
  "id",
  "features",
  "featureNeeds",
  "queues",
  "config",
  "options",
  "permissions",
  "create",
];
const sameName = (field: string) => field.toLowerCase().replace(/s$/, "");

/** A field in the singular, say, would be taken for one that is not there. */
function misnamedField(exported: object): string | null {
  for (const given of Object.keys(exported)) {
    const meant = FIELDS.find((field) => sameName(field) === sameName(given));
    if (meant === undefined || meant in exported) continue;
    return `declares ${
      shown(given)
    }; did you mean ${meant}? (see ${meant} in ${PAGE})`;
  }
  return null;
}

function featuresProblem(features: Entries | null): string | null {
  if (features === null || features.length > MAX_FEATURES) {
    return broken(
      "declares features that are not bit numbers by name",
      "features",
    );
  }
  const problem = features.map(([, bit]) => featureProblem(bit)).find((each) =>
    each !== null
  );
  return problem === undefined ? null : broken(problem!, "features");
}

function needsProblem(needs: Entries | null, features: Entries): string | null {
  const isFeature = (name: unknown) =>
    features.some(([feature]) => feature === name);
  const isNeed = ([name, needed]: [string, unknown]) =>
    isFeature(name) && Array.isArray(needed) && needed.length > 0 &&
    needed.every(isFeature) && !needed.includes(name);
  return needs?.every(isNeed) ? null : broken(
    "declares featureNeeds that are not lists of names of features, by names of others",
    "featureNeeds",
  );
}

function queuesProblem(queues: Entries | null): string | null {
  if (queues === null || queues.length > MAX_QUEUES) {
    return broken(
      `declares queues that are not sizes by name, up to ${MAX_QUEUES}`,
      "queues",
    );
  }
  const problem = queues.map(([name, size]) => sizeProblem(shown(name), size))
    .find((each) => each !== null);
  return problem === undefined ? null : broken(problem!, "queues");
}

function configProblem(fields: Entries | null): string | null {
  const wrong = fields?.find(([, field]) => fieldSize(field) === undefined);
  if (fields === null || wrong !== undefined) {
    const which = wrong === undefined ? "a layout" : `field ${shown(wrong[0])}`;
    return broken(
      `declares ${which} of configuration space that is not "u8", "u16", "u32", "u64" or a number of bytes`,
      "config",
    );
  }
  const size = configSize(
    placeFields(Object.fromEntries(fields) as ConfigLayout),
  );
  return size <= MAX_CONFIG ? null : broken(
    `declares a configuration space of ${size} bytes; ${MAX_CONFIG} are possible`,
    "config",
  );
}

const PERMISSIONS: readonly string[] = [
  "read",
  "write",
  "net",
  "env",
  "run",
  "import",
] satisfies PermissionName[];

function permissionsProblem(
  permissions: Entries | null,
  options: Entries,
): string | null {
  const isAsk = (ask: unknown) => {
    if (typeof ask === "string") return true;
    const name = (ask as { option?: unknown } | null)?.option;
    return options.some(([option, schema]) =>
      option === name && isText(schema as OptionSchema)
    );
  };
  const wrong = permissions?.find(([kind, asks]) =>
    !PERMISSIONS.includes(kind) || !Array.isArray(asks) || !asks.every(isAsk)
  );
  if (permissions !== null && wrong === undefined) return null;
  return broken(
    `asks for permissions${
      wrong === undefined ? "" : ` ${shown(wrong[0])}`
    } that are not lists by ${
      PERMISSIONS.join(", ")
    }, of strings or { option } with the name of an option that is text`,
    "permissions",
  );
}
