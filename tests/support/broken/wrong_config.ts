// Has a number in its configuration space, and puts text there.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  config: { rate: "u32" },
  create({ updateConfig }) {
    const rate: unknown = "44100 Hz";
    updateConfig({ rate: rate as number });
    return { queues: { requestq: () => 0 } };
  },
});
