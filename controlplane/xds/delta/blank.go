package delta

import (
	"strconv"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// blankVersion is that of a blank. Envoy never says that it has it.
const blankVersion = "none"

// look has Envoy look at a secret or an extension that is sent next. Envoy
// acknowledges without a look what equals the last of its name that it heard, in use
// or refused. Where that may be this one (it was refused on this stream, or the Envoy
// heard of it on an earlier one, of which an agent that has just started knows
// nothing) it hears a blank first.
func (p *pass) look(f *feed, r *xds.Resource) {
	if !alone(f.typ) {
		return
	}
	last, known := f.told[r.Name]
	f.told[r.Name] = r.Version
	if known && last != r.Version || !known && p.st.fresh {
		return
	}
	if b := blank(r); b != nil {
		p.st.serial++
		p.out = append(p.out, &response{
			TypeUrl: string(r.Type), Nonce: strconv.FormatUint(p.st.serial, 10),
			Resources: []*discovery.Resource{{Name: r.Name, Version: blankVersion, Resource: xds.Any(b)}},
		})
	}
}

// heardOther says that the last that Envoy heard is another version than the one that
// it uses: it refused that one, and would make of it whatever it makes anew.
func (f *feed) heardOther(r *xds.Resource) bool {
	last := f.told[r.Name]
	return last != "" && last != r.Version && f.after(0, r.Name) == nil
}

// blank is one of the same name and kind that Envoy refuses, going on with what it
// uses. nil: there is none.
func blank(r *xds.Resource) xds.Message {
	if r.Type == xds.Extension {
		return blankExtension(r)
	}
	var secret tlsv3.Secret
	if proto.Unmarshal(r.Body, &secret) != nil {
		return nil
	}
	switch secret.Type.(type) {
	case *tlsv3.Secret_TlsCertificate:
		secret.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{}}
	case *tlsv3.Secret_ValidationContext: // an empty one would let everybody in
		secret.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: "none"}},
		}}
	default:
		return nil
	}
	return &secret
}

// blankExtension passes the check of the message, or Envoy would remember the one
// before it, and not the making of the filter.
func blankExtension(r *xds.Resource) xds.Message {
	var extension core.TypedExtensionConfig
	if proto.Unmarshal(r.Body, &extension) != nil {
		return nil
	}
	switch config := extension.GetTypedConfig(); {
	case config.MessageIs(&rbachttp.RBAC{}):
		none := &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: "("}}}
		extension.TypedConfig = xds.Any(&rbachttp.RBAC{Rules: &rbac.RBAC{Policies: map[string]*rbac.Policy{"none": {
			Principals:  []*rbac.Principal{{Identifier: &rbac.Principal_Any{Any: true}}},
			Permissions: []*rbac.Permission{{Rule: &rbac.Permission_UrlPath{UrlPath: &matcher.PathMatcher{Rule: &matcher.PathMatcher_Path{Path: none}}}}},
		}}}})
	case config.MessageIs(&ratelimit.LocalRateLimit{}):
		extension.TypedConfig = xds.Any(&ratelimit.LocalRateLimit{StatPrefix: "none", TokenBucket: &typev3.TokenBucket{
			MaxTokens: 1, FillInterval: durationpb.New(time.Millisecond), // 50 ms is the least
		}})
	default:
		return nil
	}
	return &extension
}
