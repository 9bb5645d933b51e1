package main

import (
	"context"
	"io"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vision "trunkline.example/client/trunkline/api/vision/v1"
)

// Label maps of large pictures are above the 4 MiB that gRPC takes by default.
const maxAnswerBytes = 64 << 20

func connect(target string) (*grpc.ClientConn, error) {
	return grpc.Dial(target, grpc.WithInsecure(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
}

// Picture is an encoded picture with a name for people.
type Picture struct {
	Name string
	Data []byte
}

// analyzeStream asks heads about pictures, read as fast as the service works, and tells each part of the answers.
func analyzeStream(
	ctx context.Context,
	client vision.VisionServiceClient,
	pictures []Picture,
	heads []*vision.HeadRequest,
	tell func(Picture, *vision.AnalyzeStreamResponse),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.AnalyzeStream(ctx)
	if err != nil {
		return err
	}
	go func() {
		defer stream.CloseSend()
		for number, picture := range pictures {
			// Each picture of a stream has an id of its own. Send waits while the service reads no more.
			request := &vision.AnalyzeStreamRequest{
				Id: strconv.Itoa(number), Image: &vision.Image{Data: picture.Data}, Heads: heads,
			}
			if stream.Send(request) != nil {
				return // Recv says why
			}
		}
	}()
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		number, err := strconv.Atoi(part.Id)
		if err != nil {
			return err
		}
		tell(pictures[number], part)
	}
}

// Details is what an error of a call says beside its code and message.
type Details struct {
	Info       *errdetails.ErrorInfo // nil where there is none, as for errors that the client makes itself
	RetryAfter *time.Duration        // nil where no new try makes sense
}

// errorDetails reads the google.rpc.Status in the trailer grpc-status-details-bin, which package status has parsed.
func errorDetails(err error) Details {
	var found Details
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Info = detail
		case *errdetails.RetryInfo:
			delay := time.Duration(detail.RetryDelay.Seconds)*time.Second + time.Duration(detail.RetryDelay.Nanos)
			found.RetryAfter = &delay
		}
	}
	return found
}

// classifyPatiently asks again for as long as the service is busy, after the time that it names. It counts the tries.
func classifyPatiently(
	ctx context.Context, client vision.VisionServiceClient, request *vision.ClassifyRequest,
) (*vision.ClassifyResponse, int, error) {
	for tries := 1; ; tries++ {
		answer, err := client.Classify(ctx, request)
		if err == nil {
			return answer, tries, nil
		}
		delay := errorDetails(err).RetryAfter
		if delay == nil {
			return nil, tries, err
		}
		select {
		case <-time.After(*delay):
		case <-ctx.Done():
			return nil, tries, err
		}
	}
}

func codeName(code int32) string {
	return codes.Code(code).String()
}
