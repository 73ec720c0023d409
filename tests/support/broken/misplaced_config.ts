// Has a field where no driver can read it at once.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  config: { channels: "u8", rate: "u32" },
  create: () => ({ queues: { requestq: () => 0 } }),
});
