package huaweigo

import (
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

// TestProjectByIAM leaves the project out: the SDK asks /v3/projects for it, signed.
func TestProjectByIAM(t *testing.T) {
	s := server.Start(t)

	// The SDK keeps the project of a key and region for the life of the process, so the failures come first.
	_, err := lookUpClient(s, s.AccessKey, s.SecretKey, "no-such-region")
	require.ErrorContains(t, err, "failed to get project id", "no project of that name")
	_, err = lookUpClient(s, s.AccessKey, "wrong"+s.SecretKey, s.Region)
	require.ErrorContains(t, err, "failed to get project id", "a wrong secret")

	client, err := lookUpClient(s, s.AccessKey, s.SecretKey, s.Region)
	require.NoError(t, err)
	list, err := client.ListFunctions(&model.ListFunctionsRequest{ContentType: "application/json"})
	require.NoError(t, err)
	require.EqualValues(t, 0, *list.Count)
	require.Empty(t, *list.Functions)
}

func TestWrongKeys(t *testing.T) {
	s := server.Start(t)
	list := func(ak, sk string) error {
		_, err := newClient(t, s, ak, sk).ListFunctions(&model.ListFunctionsRequest{ContentType: "application/json"})
		return err
	}
	require.NoError(t, list(s.AccessKey, s.SecretKey))

	e := refused(t, list(s.AccessKey, "x"+s.SecretKey[1:]+"x"), 401, "APIGW.0301")
	require.True(t, strings.HasPrefix(e.ErrorMessage, "Incorrect IAM authentication information"), e.ErrorMessage)
	refused(t, list("ABCDEFGHIJKLMNOPQRST", s.SecretKey), 401, "APIGW.0301")

	require.NoError(t, list(s.AccessKey, s.SecretKey), "one wrong signature does not shut the owner out")
}

// TestOtherProject signs rightly for a project that is not the key's.
func TestOtherProject(t *testing.T) {
	s := server.Start(t)
	elsewhere := *s
	elsewhere.ProjectID = strings.Repeat("0", 32)
	_, err := newClient(t, &elsewhere, s.AccessKey, s.SecretKey).ListFunctions(&model.ListFunctionsRequest{ContentType: "application/json"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "Count")
}
