package huaweigo

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	fgs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	fgmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

// newIAM makes a client of the whole domain, whose id the SDK asks for itself.
func newIAM(t *testing.T, s *server.Server, ak, sk string) *iam.IamClient {
	t.Helper()
	credentials, err := global.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithIamEndpointOverride(s.Endpoint).SafeBuild()
	require.NoError(t, err)
	client, err := iam.IamClientBuilder().WithEndpoints([]string{s.Endpoint}).WithCredential(credentials).SafeBuild()
	require.NoError(t, err)
	return iam.NewIamClient(client)
}

// status is that of a refusal.
func status(t *testing.T, err error) int {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	require.ErrorAs(t, err, &e)
	return e.StatusCode
}

// TestIAMLife drives projects, users, keys and agencies with the vendor's IAM client.
func TestIAMLife(t *testing.T) {
	s := server.Start(t)
	root := newIAM(t, s, s.AccessKey, s.SecretKey)
	domains, err := root.KeystoneListAuthDomains(&model.KeystoneListAuthDomainsRequest{})
	require.NoError(t, err)
	domain := (*domains.Domains)[0].Id

	project, err := root.KeystoneCreateProject(&model.KeystoneCreateProjectRequest{Body: &model.KeystoneCreateProjectRequestBody{
		Project: &model.KeystoneCreateProjectOption{Name: "staging", ParentId: domain}}})
	require.NoError(t, err)
	require.Equal(t, 201, project.HttpStatusCode)
	shown, err := root.KeystoneShowProject(&model.KeystoneShowProjectRequest{ProjectId: project.Project.Id})
	require.NoError(t, err)
	require.Equal(t, "staging", shown.Project.Name)

	user, err := root.KeystoneCreateUser(&model.KeystoneCreateUserRequest{Body: &model.KeystoneCreateUserRequestBody{
		User: &model.KeystoneCreateUserOption{Name: "ada", Password: ptr("password-1")}}})
	require.NoError(t, err)
	require.True(t, user.User.Enabled)
	created, err := root.CreatePermanentAccessKey(&model.CreatePermanentAccessKeyRequest{Body: &model.CreatePermanentAccessKeyRequestBody{
		Credential: &model.CreateCredentialOption{UserId: user.User.Id, Description: ptr("ci")}}})
	require.NoError(t, err)
	key := created.Credential
	require.Equal(t, "active", key.Status)

	ada := newIAM(t, s, key.Access, key.Secret)
	keys, err := ada.ListPermanentAccessKeys(&model.ListPermanentAccessKeysRequest{})
	require.NoError(t, err)
	require.Len(t, *keys.Credentials, 1)
	_, err = ada.KeystoneCreateUser(&model.KeystoneCreateUserRequest{Body: &model.KeystoneCreateUserRequestBody{User: &model.KeystoneCreateUserOption{Name: "eve"}}})
	require.Equal(t, 403, status(t, err))
	_, err = ada.ListPermanentAccessKeys(&model.ListPermanentAccessKeysRequest{UserId: ptr("admin")})
	require.Equal(t, 403, status(t, err))
	_, err = ada.KeystoneUpdateUserPassword(&model.KeystoneUpdateUserPasswordRequest{UserId: user.User.Id, Body: &model.KeystoneUpdateUserPasswordRequestBody{
		User: &model.KeystoneUpdatePasswordOption{OriginalPassword: "password-1", Password: "password-2"}}})
	require.NoError(t, err)

	inactive := model.GetUpdateCredentialOptionStatusEnum().INACTIVE
	_, err = root.UpdatePermanentAccessKey(&model.UpdatePermanentAccessKeyRequest{AccessKey: key.Access, Body: &model.UpdatePermanentAccessKeyRequestBody{
		Credential: &model.UpdateCredentialOption{Status: &inactive}}})
	require.NoError(t, err)
	_, err = ada.ListPermanentAccessKeys(&model.ListPermanentAccessKeysRequest{})
	require.Equal(t, 401, status(t, err), "with the next request")
	_, err = root.DeletePermanentAccessKey(&model.DeletePermanentAccessKeyRequest{AccessKey: key.Access})
	require.NoError(t, err)
	_, err = root.KeystoneDeleteUser(&model.KeystoneDeleteUserRequest{UserId: user.User.Id})
	require.NoError(t, err)
	_, err = root.KeystoneShowUser(&model.KeystoneShowUserRequest{UserId: user.User.Id})
	require.Equal(t, 404, status(t, err))
}

// TestAgencyOfAFunction: what a function finds in its context works against this server, with the SDK and as a token, as far as the
// agency's role goes and in its own project only.
func TestAgencyOfAFunction(t *testing.T) {
	u := newUser(t)
	root := newIAM(t, u.server, u.server.AccessKey, u.server.SecretKey)
	domains, err := root.KeystoneListAuthDomains(&model.KeystoneListAuthDomainsRequest{})
	require.NoError(t, err)
	made, err := root.CreateAgency(&model.CreateAgencyRequest{Body: &model.CreateAgencyRequestBody{
		Agency: &model.CreateAgencyOption{Name: "reader", DomainId: (*domains.Domains)[0].Id, TrustDomainName: ptr("op_svc_cff")}}})
	require.NoError(t, err)
	id := made.Agency.Id
	give := &model.AssociateAgencyWithProjectPermissionRequest{ProjectId: u.server.ProjectID, AgencyId: id, RoleId: "viewer"}
	_, err = root.AssociateAgencyWithProjectPermission(give)
	require.NoError(t, err)
	_, err = root.CheckProjectPermissionForAgency(&model.CheckProjectPermissionForAgencyRequest{ProjectId: give.ProjectId, AgencyId: id, RoleId: "viewer"})
	require.NoError(t, err)
	_, err = root.CheckProjectPermissionForAgency(&model.CheckProjectPermissionForAgencyRequest{ProjectId: give.ProjectId, AgencyId: id, RoleId: "developer"})
	require.Error(t, err)

	python := inline(t, "py", u.python, "def handler(event, c):\n    return [c.getSecurityAccessKey(), c.getSecuritySecretKey(), c.getSecurityToken(), c.getToken()]\n")
	node := inline(t, "js", u.node, "exports.handler = async (event, c) => [c.getSecurityAccessKey(), c.getSecuritySecretKey(), c.getSecurityToken(), c.getToken()];\n")
	for _, body := range []*fgmodel.CreateFunctionRequestBody{python, node} {
		bare := u.create(t, body)
		require.JSONEq(t, `["","","",""]`, u.answer(t, bare, nil), "no agency, no credentials")
		body.FuncName, body.Xrole = body.FuncName+"-agent", ptr("reader")
		urn := u.create(t, body)
		var got [4]string
		require.NoError(t, json.Unmarshal([]byte(u.answer(t, urn, nil)), &got))

		credentials, err := basic.NewCredentialsBuilder().WithAk(got[0]).WithSk(got[1]).WithSecurityToken(got[2]).WithProjectId(u.server.ProjectID).SafeBuild()
		require.NoError(t, err)
		client, err := fgs.FunctionGraphClientBuilder().WithEndpoints([]string{u.server.Endpoint}).WithCredential(credentials).SafeBuild()
		require.NoError(t, err)
		agent := fgs.NewFunctionGraphClient(client)
		_, err = agent.ListFunctions(&fgmodel.ListFunctionsRequest{ContentType: "application/json"})
		require.NoError(t, err, "a viewer sees functions")
		_, err = agent.DeleteFunction(&fgmodel.DeleteFunctionRequest{ContentType: "application/json", FunctionUrn: bare})
		require.Equal(t, 403, status(t, err), "and deletes none")
		require.Equal(t, 200, u.withToken(t, got[3]), "by X-Auth-Token")

		_, err = root.RemoveProjectPermissionFromAgency(&model.RemoveProjectPermissionFromAgencyRequest{ProjectId: give.ProjectId, AgencyId: id, RoleId: "viewer"})
		require.NoError(t, err)
		require.Equal(t, 403, u.withToken(t, got[3]), "the agency has lost its role")
		_, err = root.AssociateAgencyWithProjectPermission(give)
		require.NoError(t, err)
	}
	_, err = root.DeleteAgency(&model.DeleteAgencyRequest{AgencyId: id})
	require.NoError(t, err)
}

// withToken lists functions with a token.
func (u *user) withToken(t *testing.T, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.server.Endpoint+"/v2/"+u.server.ProjectID+"/fgs/functions", nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
