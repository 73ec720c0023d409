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
  try {
    const { default: exported } = await import(module);
    const { create: _create, ...declaration } = readModule(exported);
    return { declaration };
  } catch (error) {
    return { problem: describeError(error, module) };
  }
}

// The module may have printed something, and may hold the process with a timer or a socket.
const answer = `\n${JSON.stringify(await inspect())}\n`;
await Deno.stdout.write(new TextEncoder().encode(answer));
Deno.exit();
