// Thread: main
import type { ArgsOf } from "./args.ts";
export function doctor(_args: ArgsOf<"doctor">): Promise<number> { return Promise.resolve(0); }
