// Runs the SQL queries of a JSON array on its input, and prints their rows in JSON.
const { DuckDBInstance } = require('@duckdb/node-api');
const fs = require('node:fs');

(async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  const results = [];
  for (const query of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    const reader = await connection.runAndReadAll(query);
    results.push(reader.getRows());
  }
  process.stdout.write(JSON.stringify(results));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
