// Thread: main
// Schemas of single fields. Each says what it takes in one noun phrase, which is its error,
// its hover text in an editor and the remedy when the field is missing.

import * as v from "valibot";
import { formatSize, parseSize, SIZE_PATTERN } from "./size.ts";
import { nearest, quote } from "./text.ts";

type Message = (issue: v.BaseIssue<unknown>) => string;

/** "must be <what>, not <the input>". */
function must(what: string): Message {
  return (issue) => `must be ${what}, not ${quote(issue.input)}`;
}

/** An object that refuses unknown fields; `alsoKnown` names fields of its alternatives. */
export function object<const Entries extends v.ObjectEntries>(
  entries: Entries,
  what: string,
  alsoKnown: readonly string[] = [],
) {
  return v.strictObject(entries, objectMessage(entries, what, alsoKnown));
}

/** An object whose further fields are passed on unchecked. */
export function openObject<const Entries extends v.ObjectEntries>(
  entries: Entries,
  what: string,
) {
  return v.looseObject(entries, objectMessage(entries, what, []));
}

/** True for the issue that a strict object raises about a field it does not know. */
export function isUnknownField(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === "strict_object" && issue.expected === "never";
}

function objectMessage(
  entries: v.ObjectEntries,
  what: string,
  alsoKnown: readonly string[],
): Message {
  return (issue) => {
    const key = issue.path?.at(-1)?.key;
    if (typeof key !== "string") return must(what)(issue);
    if (isUnknownField(issue)) {
      return unknownField(key, [...Object.keys(entries), ...alsoKnown]);
    }
    const schema = entries[key] as v.GenericSchema;
    return `is required: ${v.getDescription(schema)}`;
  };
}

function unknownField(key: string, known: readonly string[]): string {
  const meant = nearest(key, known);
  return meant === undefined
    ? `unknown field; the fields here are ${known.join(", ")}`
    : `unknown field; did you mean "${meant}"?`;
}

/**
 * One of several object schemas. `select` looks at the input first, so that an error is about
 * the schema that was meant; the JSON Schema offers all of them.
 */
export function choice<Schema extends v.GenericSchema>(
  schemas: readonly Schema[],
  what: string,
  select: (input: Record<string, unknown>) => Schema | v.GenericSchema<never>,
) {
  const anyOf = v.union([...schemas], must(what));
  const noObject = v.never(must(what));
  return v.lazy((input): v.GenericSchema<
    v.InferInput<Schema>,
    v.InferOutput<Schema>
  > => {
    // Only the JSON Schema converter asks about undefined; JSON itself cannot hold it.
    if (input === undefined) return anyOf;
    const isObject = typeof input === "object" && input !== null &&
      !Array.isArray(input);
    return isObject ? select(input as Record<string, unknown>) : noObject;
  });
}

/** A string that matches the pattern. */
export function text(pattern: RegExp, what: string) {
  return v.pipe(
    v.string(must(what)),
    v.regex(pattern, must(what)),
    v.description(what),
  );
}

/** A file name, relative to the manifest or absolute. Linux takes any byte but NUL, up to 4095. */
export function path(what: string) {
  return text(/^[^\0]{1,4095}$/, what);
}

/** A whole number. */
export function integer(min: number, max: number, what: string) {
  const phrase = `${what}, a whole number from ${min} to ${max}`;
  const message = must(phrase);
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(min, message),
    v.maxValue(max, message),
    v.description(phrase),
  );
}

/** true or false. */
export function flag(what: string) {
  return v.pipe(
    v.boolean(must("true or false")),
    v.description(what),
  );
}

/** A size such as "512M", which stays text: parseSize gives the bytes. */
export function size(min: number, max: number, step: number, what: string) {
  const phrase = `${what}, from ${formatSize(min)} to ${formatSize(max)} ` +
    `in steps of ${formatSize(step)}, such as "64M"`;
  const message = must(phrase);
  return v.pipe(
    v.string(message),
    v.regex(SIZE_PATTERN, message),
    v.check((size) => {
      const bytes = parseSize(size);
      return bytes >= min && bytes <= max && bytes % step === 0;
    }, message),
    v.description(phrase),
  );
}

/** A list of strings of one kind. */
export function list<Item extends v.GenericSchema<string>>(
  item: Item,
  what: string,
) {
  return v.pipe(v.array(item, must(what)), v.description(what));
}

/** One of a few words, given as '"exit" or "ioeventfd"' in messages. */
export function oneOf<const Words extends readonly string[]>(
  words: Words,
  what: string,
) {
  const quoted = words.map((word) => `"${word}"`);
  const phrase = `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
  return v.pipe(
    v.picklist(words, must(phrase)),
    v.description(`${what}: ${phrase}`),
  );
}

/** One fixed string. */
export function word<const Word extends string>(value: Word, what: string) {
  return v.pipe(v.literal(value, must(`"${value}"`)), v.description(what));
}
