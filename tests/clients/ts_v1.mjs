// TypeScript SDK v1 (one package, legacy era only) against synod.
//   node ts_v1.mjs --synod BINARY --data DIR --word WORD --vault DIR --tools DIR --transport stdio|http|sse [--url URL]

import { main } from "./core.mjs";

await main(async (args, need) => {
  const { Client } = need("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = need("@modelcontextprotocol/sdk/client/stdio.js");
  const { StreamableHTTPClientTransport } = need("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { SSEClientTransport } = need("@modelcontextprotocol/sdk/client/sse.js");
  const { McpError, ResourceUpdatedNotificationSchema } = need("@modelcontextprotocol/sdk/types.js");

  const transports = {
    stdio: () => new StdioClientTransport({ command: args.synod, args: ["serve", "--stdio", "--data", args.data], env: { ...process.env } }),
    http: () => new StreamableHTTPClientTransport(new URL(`${args.url}/mcp`)),
    sse: () => new SSEClientTransport(new URL(`${args.url}/sse`)),
  };
  const client = new Client({ name: "ts_v1", version: "1" }, { capabilities: {} });
  let version;
  const transport = transports[args.transport]();
  // The SDK tells the negotiated version to the transport only; not every transport keeps it.
  const keep = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (told) => {
    version = told;
    keep?.(told);
  };
  await client.connect(transport);

  const subscribe = async (uri, onUpdate) => {
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, (notification) => onUpdate(notification.params.uri));
    await client.subscribeResource({ uri });
    return () => client.unsubscribeResource({ uri });
  };
  return {
    client,
    modern: false,
    version: () => version,
    callTool: (params, options) => client.callTool(params, undefined, options),
    protocolError: McpError,
    unknownResource: -32002,
    // Streamable HTTP keeps no session here, so the legacy era has no way to subscribe on it.
    subscribe: args.transport === "http" ? null : subscribe,
  };
});
