// Thread: main
// A process that loads a device's module, with no more rights than to read it, and prints what it declares as JSON.
import { describeError } from "../errors.ts";
import type { OptionsSchema } from "../manifest/options.ts";
import { type ModuleDeclaration, readModule } from "./module_declaration.ts";

/** What is printed: the declaration, or why there is none. */
export type Inspection =
  | {
    readonly declaration: ModuleDeclaration;
    /** Options that were given and do not match their patterns. */
    readonly unmatched: readonly string[];
  }
  | { readonly problem: string };

const [module = ""] = Deno.args;
/** The options that were given, as JSON. */
const given = await new Response(Deno.stdin.readable).text();

/** Here, where a pattern that takes for ever costs nobody else anything. */
function findUnmatched(
  options: OptionsSchema,
  values: Readonly<Record<string, unknown>>,
): string[] {
  return Object.entries(options).flatMap(([name, option]) => {
    if (option.type !== "string" || option.pattern === undefined) return [];
    const pattern = new RegExp(`^(?:${option.pattern})$`, "s");
    if (option.default !== undefined && !pattern.test(option.default)) {
      throw new TypeError(
        `declares option ${name} with a default that its pattern does not match (see options in plugins/API.md)`,
      );
    }
    const value = values[name];
    return typeof value === "string" && !pattern.test(value) ? [name] : [];
  });
}

async function inspect(): Promise<Inspection> {
  let exported: unknown;
  try {
    ({ default: exported } = await import(module));
  } catch (error) {
    return { problem: describeError(error, module) };
  }
  try {
    const { create: _create, ...declaration } = readModule(exported);
    return {
      declaration,
      unmatched: findUnmatched(declaration.options, JSON.parse(given)),
    };
  } catch (error) {
    // Where it was noticed says nothing of where the module is wrong.
    return { problem: (error as TypeError).message };
  }
}

// The module may have printed something, and may hold the process with a timer or a socket.
const answer = `\n${JSON.stringify(await inspect())}\n`;
await Deno.stdout.write(new TextEncoder().encode(answer));
Deno.exit();
