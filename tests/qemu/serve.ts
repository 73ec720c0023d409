// What the tests start to serve one device to QEMU: `serve.ts OPTIONS`, which are servePlugin's as JSON.
import { servePlugin } from "../../core/cli/plugin_serve.ts";

Deno.exit(await servePlugin(JSON.parse(Deno.args[0]!)));
