// Another parser's opinion on SQL texts: one JSON string a line in, one word a line out: read, write or unparsed.
// sqlparser-rs (WebAssembly) shares nothing with libpg_query, which the router uses.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { init, parse } = createRequire(import.meta.url)("@guanmingchiu/sqlparser-ts");
const changes = new Set(["Insert", "Update", "Delete", "Merge", "into"]);

function touches(node) {
  if (Array.isArray(node)) return node.some(touches);
  if (node === null || typeof node !== "object") return false;
  return Object.entries(node).some(([key, value]) => {
    if (changes.has(key) && value != null) return true; // or undefined
    if (key === "locks" && Array.isArray(value) && value.length > 0) return true;
    return touches(value);
  });
}

function opinion(sql) {
  let statements;
  try {
    statements = parse(sql, "postgresql");
  } catch {
    return "unparsed";
  }
  const reads = statements.every((statement) => {
    if ("Query" in statement) return !touches(statement);
    if ("Explain" in statement) return !statement.Explain.analyze && "Query" in statement.Explain.statement;
    return Object.keys(statement).every((kind) => kind.startsWith("Show"));
  });
  return reads ? "read" : "write";
}

await init?.();
for await (const line of createInterface({ input: process.stdin })) console.log(opinion(JSON.parse(line)));
