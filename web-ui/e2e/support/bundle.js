/** Bundles without components, whose graph the manifest states, for jobs of any shape. */
import { crc32 } from "node:zlib";

/** A zip of one file that is stored as it is. */
function zip(name, text) {
  const [path, data] = [Buffer.from(name), Buffer.from(text)];
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  fields.writeUInt16LE(0x21, 8);
  fields.writeUInt32LE(crc32(data), 10);
  fields.writeUInt32LE(data.length, 14);
  fields.writeUInt32LE(data.length, 18);
  fields.writeUInt16LE(path.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, path, data]);
  const central = Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), fields, Buffer.alloc(14), path]);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, central, end]);
}

/** A bundle of native operators; `nodes` are lines of TOML by uid, `edges` pairs of uids, whose records are dealt out in one way. */
export function nativeBundle(name, nodes, edges, partitioning = "rebalance") {
  const nodeText = Object.entries(nodes).map(([uid, kind]) => `[graph.nodes.${uid}]\n${kind}\n`);
  const edgeText = edges.map(
    ([from, to]) => `[[graph.edges]]\nfrom = "${from}"\nto = "${to}"\npartitioning = "${partitioning}"\nformat = "raw"\n`,
  );
  const head = `[application]\nname = "${name}"\nversion = "1"\n\n[graph]\nname = "${name}"\n`;
  return zip("millrace.toml", [head, ...nodeText, ...edgeText].join("\n"));
}

/**
 * So many sources and as many sinks, each of which reads several: a job of many vertices and edges. Each source emits so many
 * records a second. Edges go to neighbours: from all to all there would be too many channels.
 */
export function wideBundle(vertices, rate) {
  const half = vertices / 2;
  const nodes = {};
  const edges = [];
  for (let at = 0; at < half; at += 1) {
    nodes[`source${at}`] = `native-source = { connector = "datagen", options = { kind = "sequence", rows-per-second = ${rate} } }`;
    nodes[`sink${at}`] = 'native-sink = { connector = "discard" }';
    edges.push([`source${at}`, `sink${at}`], [`source${at}`, `sink${(at + 1) % half}`]);
  }
  return nativeBundle("wide", nodes, edges, "rescale");
}
