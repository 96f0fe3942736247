package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcDrain bounds how long streams may go on once the service is told to end.
const grpcDrain = 5 * time.Second

// serveGRPC answers gRPC without TLS until ctx ends, then lets calls finish.
func (e *echo) serveGRPC(ctx context.Context, address string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	e.log.Printf("listening on %s", listener.Addr())
	well := health.NewServer()
	if e.faults.FailHealth {
		well.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, well)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "nixmesh.lab.Echo",
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: e.stream}},
	}, e)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	timer := time.AfterFunc(grpcDrain, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
	return <-ended
}

// stream sends each message back that the caller sends.
func (e *echo) stream(_ any, s grpc.ServerStream) error {
	e.stats.Requests.Add(1)
	for {
		m := &wrapperspb.StringValue{}
		err := s.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.SendMsg(m)
		}
		if err != nil {
			e.stats.Aborted.Add(1)
			return err
		}
	}
}
