// Thread: main
// A process that loads a device's module, with no more rights than to read it, and prints what it declares as JSON.
import { describeError } from "../errors.ts";
import { type ModuleDeclaration, readModule } from "./module_declaration.ts";

/** What is printed: the declaration, or why there is none. */
export type Inspection =
  | { readonly declaration: ModuleDeclaration }
  | { readonly problem: string };

const [module = ""] = Deno.args;

async function inspect(): Promise<Inspection> {
  let exported: unknown;
  try {
    ({ default: exported } = await import(module));
  } catch (error) {
    return { problem: describeError(error, module) };
  }
  try {
    const { create: _create, ...declaration } = readModule(exported);
    return { declaration };
  } catch (error) {
    // Where it was noticed says nothing of where the module is wrong.
    return { problem: (error as TypeError).message };
  }
}

// The module may have printed something, and may hold the process with a timer or a socket.
const answer = `\n${JSON.stringify(await inspect())}\n`;
await Deno.stdout.write(new TextEncoder().encode(answer));
Deno.exit();
