// A phone with PouchDB: keeps batches of documents and brings each up by PouchDB's own words. Prints every request of it as a
// line of JSON: [method, path, body, status]. It is started with the database's address and "sync" or "push"; the batches
// come as JSON on the standard input.

const PouchDB = require("pouchdb");
PouchDB.plugin(require("pouchdb-adapter-memory"));

const [address, way] = process.argv.slice(2);

const recordedFetch = async (url, options = {}) => {
  const response = await PouchDB.fetch(url, options);
  const { pathname, search } = new URL(url);
  console.log(JSON.stringify([options.method ?? "GET", pathname + search, options.body ?? "", response.status]));
  return response;
};

const bringUp = async (batches) => {
  const local = new PouchDB("phone", { adapter: "memory" });
  const remote = new PouchDB(address, { fetch: recordedFetch, skip_setup: true });
  for (const documents of batches) {
    await local.bulkDocs(documents);
    await (way === "sync" ? PouchDB.sync(local, remote) : local.replicate.to(remote));
  }
};

bringUp(JSON.parse(require("node:fs").readFileSync(0, "utf8"))).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
