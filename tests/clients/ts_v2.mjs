// TypeScript SDK v2 against synod, in its default (legacy) and in its negotiated (modern) era.
//   node ts_v2.mjs --synod BINARY --data DIR --word WORD --vault DIR --tools DIR --transport stdio|http --era legacy|auto [--url URL]

import { main } from "./core.mjs";

await main(async (args, need) => {
  const { Client, ProtocolError, StreamableHTTPClientTransport } = need("@modelcontextprotocol/client");
  const { StdioClientTransport } = need("@modelcontextprotocol/client/stdio");

  const transports = {
    stdio: () => new StdioClientTransport({ command: args.synod, args: ["serve", "--stdio", "--data", args.data], env: { ...process.env } }),
    http: () => new StreamableHTTPClientTransport(new URL(`${args.url}/mcp`)),
  };
  const modern = args.era === "auto";
  const client = new Client({ name: "ts_v2", version: "1" }, modern ? { versionNegotiation: { mode: "auto" } } : {});
  await client.connect(transports[args.transport]());

  const hear = (onUpdate) => {
    client.setNotificationHandler("notifications/resources/updated", (notification) => onUpdate(notification.params.uri));
  };
  const subscribe = async (uri, onUpdate) => {
    hear(onUpdate);
    await client.subscribeResource({ uri });
    return () => client.unsubscribeResource({ uri });
  };
  const listen = async (uri, onUpdate) => {
    hear(onUpdate);
    const subscription = await client.listen({ resourceSubscriptions: [uri] });
    const honoured = subscription.honoredFilter.resourceSubscriptions ?? [];
    if (honoured.join() !== uri) throw new Error(`the server honours ${honoured}, not ${uri}`);
    return () => subscription.close();
  };
  return {
    client,
    modern,
    version: () => client.getNegotiatedProtocolVersion(),
    callTool: (params, options) => client.callTool(params, options),
    protocolError: ProtocolError,
    unknownResource: -32602, // the SDK shows a legacy -32002 whose data has the uri as this
    // Streamable HTTP keeps no session here, so the legacy era has no way to subscribe on it.
    subscribe: modern ? listen : args.transport === "stdio" ? subscribe : null,
  };
});
