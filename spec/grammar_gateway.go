package spec

func gatewaySchema() *blockSchema {
	route := routeSchema("HOST[/PATH]", "As in a service, below a host name: `\"shop.example\"`, `\"shop.example/api/\"`, `\"*.shop.example\"`, `\"shop.example~/v[0-9]+/.*\"`.",
		arg("to", typeText, "SERVICE or SERVICE@VERSION.").unset("needed unless redirect, respond or split").eg(`"web"`),
		arg("auth", typeTexts, "Names of `auth` blocks; all have to agree.").or(`[]`).eg(`["staff"]`),
		arg("max_body", typeSize, "In place of the gateway's.").unset("the gateway's").eg(`"10MiB"`),
		arg("body_timeout", typeDuration, "In place of the gateway's; `\"0s\"` is none.").unset("the gateway's").eg(`"1h"`),
	)
	route.holds(of("cors", "", "Lets pages of other origins call.",
		arg("origins", typeTexts, "Origins: `https://shop.example`, or `*`.").need(`["https://shop.example"]`),
		arg("methods", typeTexts, "Methods.").or(`[]`).eg(`["GET", "POST"]`),
		arg("headers", typeTexts, "Headers.").or(`[]`).eg(`["content-type"]`),
		arg("credentials", typeBool, "Whether cookies may come along.").or("false"),
		arg("max_age", typeDuration, "How long a browser may keep the answer.").unset("the browser's own").eg(`"10m"`),
	))
	return of("gateway", "NAME", "Lets calls from outside in: certificates, host names and paths, to services.",
		arg("on", typeSelectors, "The hosts that take the calls.").need(`["@edge"]`),
		arg("acme", typeText, "The mail address for certificates by ACME. One of `acme` and `cert`; with neither, calls come in the clear.").eg(`"ops@shop.example"`),
		arg("cert", typeText, "A PEM chain of the fleet's folder, or `mesh-ca`.").eg(`"certs/shop.pem"`),
		arg("key", typeFile, "The age file of the certificate's key; needed unless `mesh-ca`.").eg(`"secrets/shop-key.age"`),
		arg("http3", typeBool, "Whether to offer HTTP/3.").or("false"),
		arg("compress", typeBool, "Whether to compress answers.").or("false"),
		arg("max_headers", typeSize, "Most bytes of a request's headers. A request with more of them, or with more than 100 headers, ends at the gateway: with 431, or over HTTP/2 with a reset. A change ends the gateway's open connections.").or(`"60KiB"`).within(0, 60<<10),
		arg("max_body", typeSize, "Most bytes of a request's body. A body with a bound is read whole before the service is called, so that slow clients keep nobody from it.").unset("no bound").eg(`"10MiB"`),
		arg("client_timeout", typeDuration, "How long a client may take to send its headers. A change ends the gateway's open connections.").or(`"30s"`).within(0.001, 0),
		arg("body_timeout", typeDuration, "How long a client may take to send the body of a request. A request that goes on for longer than that and the route's timeout together ends with 408; WebSockets, gRPC and routes without a timeout have no such end. `\"0s\"` is no bound.").or(`"5m"`),
		arg("connections", typeInt, "Connections at once, by each port and certificate. All gateways of a host together have no more than its Envoy has room for. A change ends the gateway's open connections.").or("10000").within(1, 1<<31-1),
	).repeated().holds(
		of("tls", "HOST", "Another certificate for this host name; that of `*.x` is for all below it, and needs `cert`.",
			arg("acme", typeText, "As in the gateway.").eg(`"ops@shop.example"`),
			arg("cert", typeText, "As in the gateway.").eg(`"certs/admin.pem"`),
			arg("key", typeFile, "As in the gateway.").eg(`"secrets/admin-key.age"`),
		),
		of("listen", "PROTOCOL", "A port: `http`, `https` or `tcp`. Without such a block: https, and http that redirects to it; without a certificate http only.",
			arg("port", typeInt, "The port.").unset("80 for http, 443 for https; required for tcp").eg("8443").within(1, 65535),
			arg("proxy_protocol", typeBool, "Whether each connection begins with a PROXY header, which says for whom it is made; needs `from`.").or("false"),
			arg("to", typeText, "With tcp: the service.").eg(`"postgres"`),
			arg("from", typeTexts, "The ranges that may connect, by the address of who connects, whatever a PROXY header says; others are closed, whatever they send. Needed with tcp and with `proxy_protocol`, where it is the load balancers.").or(`[]`).unset("everybody with http and https").eg(`["192.0.2.0/24"]`),
		).repeated(),
		of("auth", "NAME", "Who calls from outside: by a JWT (`issuer`, `jwks`), or by asking a service.",
			arg("issuer", typeText, "The token's issuer.").eg(`"https://login.example"`),
			arg("audiences", typeTexts, "Audiences, one of which the token has.").or(`[]`).eg(`["shop"]`),
			arg("jwks", typeText, "The keys: a file of the fleet's folder, or a URL of an external.").eg(`"certs/jwks.json"`),
			arg("claims", typeTextMap, "Claim = header that carries it to the service.").or(`{}`).eg(`{ sub = "x-user" }`),
			arg("service", typeText, "A service that is asked. An edge, too.").eg(`"login"`),
			arg("timeout", typeDuration, "How long that may take.").or(`"200ms"`).within(0.001, 0),
		),
		route,
	)
}

func externalSchema() *blockSchema {
	return of("external", "NAME", "A service that is not the fleet's. Services, gateways and externals share one space of names.",
		arg("hosts", typeTexts, "host:port, one or more.").need(`["api.stripe.com:443"]`),
		oneOf("protocol", "What is spoken.", "http", "http2", "grpc", "tcp", "redis").or(`"http"`),
		arg("via", typeSelectors, "Leave from these hosts.").or(`[]`).unset("from the caller's").eg(`["@edge"]`),
		oneOf("tls", "`originate`: the caller speaks in the clear to its own host, TLS begins there. `passthrough`: the caller speaks TLS itself.", "originate", "passthrough", "off").or(`"originate"`),
		arg("server_name", typeText, "The name that the certificate has to hold.").unset("the first host's name").eg(`"api.stripe.com"`),
		arg("ca", typeText, "`system`, or a PEM file of the fleet's folder.").or(`"system"`).eg(`"certs/partner-ca.pem"`),
		arg("cert", typeFile, "A client certificate (PEM).").eg(`"certs/client.pem"`),
		arg("key", typeFile, "The age file of its key.").eg(`"secrets/client-key.age"`),
	).repeated()
}
