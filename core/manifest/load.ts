// Thread: main
// Reads a manifest: a file or text or object → checked form → VmConfig.

import { parse as parseJsonc } from "@std/jsonc";
import * as v from "valibot";
import { ManifestError } from "../errors.ts";
import type { Registry } from "./built_in.ts";
import type { VmConfig } from "./config.ts";
import { defaultManifest } from "./defaults.ts";
import { isUnknownField } from "./fields.ts";
import { fromFileUrl, resolve } from "./paths.ts";
import { resolveManifest } from "./resolve.ts";
import { manifestSchema } from "./schema.ts";
import { fieldPath, hostReason, oneLine, quote } from "./text.ts";

const MAX_BYTES = 2 ** 20;
/** Far more than a manifest needs, far less than what exhausts the stack on the way to a worker. */
const MAX_DEPTH = 64;

/** The manifest's name where none is given. */
export const MANIFEST_NAME = "vm.json";

/** Loads a manifest file; its folder is what its paths are relative to. */
export function loadManifest(
  pathOrUrl: string | URL,
  registry: Registry,
): VmConfig {
  const path = resolve(manifestPath(pathOrUrl));
  const text = readManifest(path);
  return parseManifest(text, resolve(path, ".."), registry, path);
}

/** Loads `vm.json` of a folder, or what `init` would write there if there is none. */
export function loadDefault(baseDir: string, registry: Registry): VmConfig {
  const path = resolve(baseDir, MANIFEST_NAME);
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return parseManifest(defaultManifest(), baseDir, registry);
    }
  }
  return loadManifest(path, registry);
}

/** Checks a manifest that is JSON text with comments, of the file with this path, or already an object. */
export function parseManifest(
  manifest: string | object,
  baseDir: string,
  registry: Registry,
  path?: string,
): VmConfig {
  const input = typeof manifest === "string"
    ? parseText(manifest, path)
    : manifest;
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new ManifestError(
      "",
      `The manifest must be an object such as { "cpus": 1 }, not ${
        quote(input)
      }`,
    );
  }
  if (isDeeper(input, MAX_DEPTH)) throw tooDeep();
  const result = v.safeParse(manifestSchema(registry), input);
  if (!result.success) throw schemaError(result.issues);
  return resolveManifest(result.output, resolve(baseDir), registry);
}

function manifestPath(pathOrUrl: string | URL): string {
  const text = `${pathOrUrl}`;
  if (!/^[a-z]+:\/\//.test(text)) return text;
  if (!text.startsWith("file:")) {
    throw new ManifestError(
      "",
      `A manifest must be a file here, not ${quote(text)}; download it first`,
    );
  }
  try {
    return fromFileUrl(text);
  } catch (cause) {
    throw new ManifestError(
      "",
      `${quote(text)} names another host; name a file of this one`,
      {
        cause,
      },
    );
  }
}

function readManifest(path: string): string {
  const shown = quote(path);
  let bytes: Uint8Array;
  try {
    const info = Deno.statSync(path);
    if (!info.isFile) {
      const kind = info.isDirectory ? "a directory" : "not a regular file";
      const remedy = info.isDirectory
        ? `name the ${MANIFEST_NAME} in it`
        : "name a manifest";
      throw new ManifestError("", `${shown} is ${kind}; ${remedy}`);
    }
    if (info.size > MAX_BYTES) {
      throw new ManifestError(
        "",
        `${shown} has more than 1 MiB, which no manifest needs; name a manifest`,
      );
    }
    bytes = Deno.readFileSync(path);
  } catch (error) {
    throw error instanceof ManifestError ? error : unreadable(shown, error);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ManifestError(
      "",
      `${shown} is not UTF-8 text; name a manifest, not a binary file`,
    );
  }
}

function unreadable(shown: string, error: unknown): ManifestError {
  let why = `cannot be read: ${hostReason(error)}; correct the path`;
  if (error instanceof Deno.errors.NotFound) {
    why = "does not exist; correct the path, or write one with paddock init";
  } else if (error instanceof Deno.errors.NotCapable) {
    why = "cannot be read: Deno was started without --allow-read";
  } else if (error instanceof Deno.errors.PermissionDenied) {
    why = "cannot be read: permission denied; change its mode";
  }
  return new ManifestError("", `${shown} ${why}`, { cause: error });
}

function parseText(text: string, path: string | undefined): unknown {
  // The package carries no types.
  const parse: (text: string) => unknown = parseJsonc;
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep();
    throw syntaxError(text, path, error);
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 ||
    Object.values(value).some((item) => isDeeper(item, levels - 1));
}

function tooDeep(): ManifestError {
  return new ManifestError("", "The manifest is nested too deeply; flatten it");
}

/** The parser says where a token is as an offset, and nothing where the text ends too soon. */
function syntaxError(
  text: string,
  path: string | undefined,
  cause: unknown,
): ManifestError {
  const offset = /at position ([0-9]+)$/.exec(`${cause}`)?.[1];
  const at = offset === undefined ? text.length : Number(offset);
  const before = text.slice(0, at).split("\n");
  const file = path === undefined ? "Line" : `${quote(path)}, line`;
  const place = `${file} ${before.length}, column ${before.at(-1)!.length + 1}`;
  const token = /^("[^"\n]*"?|[\w.+-]+|.)/s.exec(text.slice(at))?.[0];
  const show = token?.startsWith('"') ? oneLine : quote;
  const problem = token === undefined
    ? "the text ends too soon; close every bracket, string and comment"
    : `unexpected ${show(token)}; look for a missing comma, quote or bracket`;
  return new ManifestError("", `${place}: ${problem}`, { cause });
}

/** One issue is enough; an unknown field explains a missing one better than the reverse. */
export function schemaError(
  issues: readonly v.BaseIssue<unknown>[],
  field = "",
): ManifestError {
  const issue = issues.find(isUnknownField) ?? issues[0]!;
  const keys = issue.path?.map((item) => item.key) ?? [];
  const path = [field, fieldPath(keys)].filter((part) => part !== "").join(".");
  return new ManifestError(path, issue.message);
}
