// Thread: any
// Names of the device types (virtio-v1.3 §5), for people.

const TYPES: ReadonlyMap<number, string> = new Map([
  [1, "network card"],
  [2, "block device"],
  [3, "console"],
  [4, "entropy source"],
  [5, "memory balloon (traditional)"],
  [6, "ioMemory"],
  [7, "rpmsg"],
  [8, "SCSI host"],
  [9, "9P transport"],
  [10, "mac80211 wlan"],
  [11, "rproc serial"],
  [12, "CAIF"],
  [13, "memory balloon"],
  [16, "GPU"],
  [17, "timer/clock"],
  [18, "input device"],
  [19, "socket device"],
  [20, "crypto device"],
  [21, "signal distribution module"],
  [22, "pstore device"],
  [23, "IOMMU"],
  [24, "memory device"],
  [25, "sound device"],
  [26, "file system"],
  [27, "PMEM device"],
  [28, "RPMB device"],
  [29, "mac80211 hwsim wireless simulation"],
  [30, "video encoder"],
  [31, "video decoder"],
  [32, "SCMI device"],
  [33, "NitroSecureModule"],
  [34, "I2C adapter"],
  [35, "watchdog"],
  [36, "CAN device"],
  [38, "parameter server"],
  [39, "audio policy device"],
  [40, "Bluetooth device"],
  [41, "GPIO device"],
  [42, "RDMA device"],
  [43, "camera"],
  [44, "ISM device"],
  [45, "SPI controller"],
]);

/** "entropy source" for 4; for an id of no type, that it is the device's own. */
export function deviceTypeName(id: number): string {
  return TYPES.get(id) ?? "a type of its own";
}
