// Thread: main
// What a device's `use` may say, beside the names of built-in devices, and what was probably meant.
import { exampleModule } from "./examples.ts";
import { toFileUrl } from "./paths.ts";
import { nearest, quote } from "./text.ts";

/** A file, a package, or a module on the web. */
export const MODULE =
  /^(\.\.?\/|file:|npm:[^\s]+$|jsr:@[^\s]+$|https:\/\/[^\s]+$|http:\/\/127\.0\.0\.1(:[0-9]+)?\/)/;

/** Says why a `use` is neither a built-in device nor a file. */
export function useMessage(use: unknown, builtIns: readonly string[]): string {
  const names = builtIns.map((name) => `"${name}"`).join(", ");
  const forms =
    `${names}, or a module such as "./device.ts" or "npm:name@1.0.0"`;
  if (typeof use !== "string") return `must be ${forms}, not ${quote(use)}`;
  if (use.startsWith("http:")) {
    return `must come over https, not ${
      quote(use)
    }; only 127.0.0.1 may do without`;
  }
  const example = exampleModule(use);
  if (example !== null) {
    return `${quote(use)} is an example, no built-in device; name its module: ${
      quote(toFileUrl(example).href)
    }`;
  }
  let meant = nearest(use, builtIns);
  if (use.startsWith("/")) meant = `file://${use}`;
  else if (/[/.]/.test(use)) meant = `./${use}`;
  return meant === undefined || use.includes(":")
    ? `must be ${forms}, not ${quote(use)}`
    : `there is no built-in device ${quote(use)}; did you mean ${
      quote(meant)
    }?`;
}
