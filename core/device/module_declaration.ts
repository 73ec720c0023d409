// Thread: any
// What a device module declares, before a device is made of it: described where it was loaded, checked where it is used.
import type { OptionSchema, OptionsSchema } from "../manifest/options.ts";
import { parseSize, SIZE_PATTERN } from "../manifest/size.ts";
import type { PermissionAsks, PermissionName } from "../plugin.ts";
import type { FeatureNeed } from "../virtio/device_host.ts";
import { MAX_CONFIG, MAX_QUEUES } from "../virtio/device_page.ts";
import {
  type ConfigLayout,
  configSize,
  fieldSize,
  placeFields,
} from "../virtio/config_layout.ts";

/** Each head keeps its segments between requests, so that the largest queue bounds what a guest can pin: some 25 MB. */
const MAX_DECLARED_SIZE = 1024;
export const MAX_FEATURES = 64;
/** Where the contract is explained. */
const PAGE = "plugins/API.md";

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

export function isInteger(
  value: unknown,
  from: number,
  to: number,
): value is number {
  return Number.isInteger(value) && Number(value) >= from &&
    Number(value) <= to;
}

/** A value as a message shows it; one from a plugin may be of any type and length. */
export function shown(value: unknown): string {
  return typeof value === "object" ? "that" : String(value).slice(0, 40);
}

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

/** One sentence for a contract that was broken, with the page that explains it. */
function broken(problem: string, part: string): string {
  return `${problem} (see ${part} in ${PAGE})`;
}

type Entries = [string, unknown][];

function entriesOf(value: unknown): Entries | null {
  if (value === undefined) return [];
  const isObject = typeof value === "object" && value !== null &&
    !Array.isArray(value);
  if (!isObject) return null;
  const entries = Object.entries(value);
  // A name that is a number does not keep its place among the others.
  return entries.some(([name]) => /^[0-9]+$/.test(name)) ? null : entries;
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

const OPTION_TYPES: readonly unknown[] = [
  "string",
  "integer",
  "size",
  "boolean",
  "path",
  "url",
  "strings",
];
const TEXT_TYPES = ["string", "path", "url", "strings"];
/** Fields of a device that are the host's. */
const RESERVED = [
  "use",
  "name",
  "permissions",
  "virtio",
  "isolation",
  "integrity",
];

function optionsProblem(options: Entries | null): string | null {
  if (options === null) {
    return broken("declares options that are not an object", "options");
  }
  for (const [name, option] of options) {
    if (RESERVED.includes(name)) {
      return broken(`declares option ${name}, which is the host's`, "options");
    }
    const problem = optionProblem(option);
    if (problem !== null) {
      return broken(`declares option ${shown(name)} ${problem}`, "options");
    }
  }
  return null;
}

function optionProblem(option: unknown): string | null {
  if (typeof option !== "object" || option === null) return "as no object";
  const { type, description, min, max, step, pattern, enum: words } =
    option as Record<string, unknown>;
  if (!OPTION_TYPES.includes(type)) {
    return `of type ${shown(type)}; the types are ${OPTION_TYPES.join(", ")}`;
  }
  if (typeof description !== "string") return "without a description";
  const isRange = type === "integer" || type === "size";
  if (isRange && !(Number.isSafeInteger(min) && Number.isSafeInteger(max))) {
    return "without min and max";
  }
  if (step !== undefined && !isInteger(step, 1, 2 ** 40)) {
    return "with a step that is not a whole number";
  }
  if (pattern !== undefined && !isPattern(pattern)) {
    return "with a pattern that is no regular expression";
  }
  const isWords = words === undefined || Array.isArray(words) &&
      words.length > 1 && words.every((word) => typeof word === "string");
  if (!isWords) return "with an enum that is not two or more strings";
  return defaultProblem(option as OptionSchema & { optional?: unknown });
}

/** Its pattern is tried where the module was loaded. */
function defaultProblem(
  option: OptionSchema & { readonly optional?: unknown },
): string | null {
  if (option.default === undefined) return null;
  if (option.optional === true) {
    return "as optional, and with a default: one of both";
  }
  return isDefault(option, option.default)
    ? null
    : "with a default that it would not take";
}

function isDefault(option: OptionSchema, value: unknown): boolean {
  switch (option.type) {
    case "integer":
      return isInteger(value, option.min, option.max);
    case "size": {
      const bytes = typeof value === "string" && SIZE_PATTERN.test(value)
        ? parseSize(value)
        : NaN;
      return isInteger(bytes, option.min, option.max) &&
        bytes % (option.step ?? 1) === 0;
    }
    case "boolean":
      return typeof value === "boolean";
    case "strings":
      return Array.isArray(value) &&
        value.every((each) => typeof each === "string");
    case "string":
      return typeof value === "string" &&
        (option.enum === undefined || option.enum.includes(value));
    default:
      return typeof value === "string";
  }
}

function isPattern(pattern: unknown): boolean {
  try {
    return typeof pattern === "string" && new RegExp(pattern) !== null;
  } catch {
    return false;
  }
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
      option === name && TEXT_TYPES.includes((schema as OptionSchema).type)
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
