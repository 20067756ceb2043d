// Binary data in the JSON of commands: {"$binary": base64}.
export const toWire = (v) => (v instanceof Uint8Array ? { $binary: Buffer.from(v).toString("base64") } : v);
export const fromWire = (v) => (typeof v?.$binary === "string" ? Buffer.from(v.$binary, "base64") : v);
