// The mock server on port 8090, or the one given.
import { createMock } from './server.mjs';

const port = Number(process.argv[2] ?? 8090);
createMock({ tokenMs: 25 }).server.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/`));
