// Thread: any
// The options that a device module declares: each with a type, a description, and limits that its default is within.
import type { OptionSchema } from "../manifest/options.ts";
import { parseSize, SIZE_PATTERN } from "../manifest/size.ts";
import {
  broken,
  type Entries,
  isInteger,
  shown,
} from "./declaration_checks.ts";

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

/** Whether an option's value is text, which a permission can name. */
export function isText({ type }: OptionSchema): boolean {
  return TEXT_TYPES.includes(type);
}

/** What is wrong with the options that a module declares. */
export function optionsProblem(options: Entries | null): string | null {
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
