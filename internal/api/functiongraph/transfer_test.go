package functiongraph_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// fields reads the object of a good answer.
func fields(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	require.Equal(t, 200, w.Code, w.Body)
	var all map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	return all
}

// entries reads a zip.
func entries(t *testing.T, data []byte) map[string]string {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	all := map[string]string{}
	for _, f := range in.File {
		r, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		all[f.Name] = string(text)
	}
	return all
}

func zipOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		require.NoError(t, err)
		_, err = f.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// exportOf asks for the zip itself.
func exportOf(t *testing.T, b *bench, urn, query string) []byte {
	t.Helper()
	w := b.send("GET", urn+"/export?"+query, "", "Accept", "application/zip")
	require.Equal(t, 200, w.Code, w.Body)
	require.Equal(t, "application/zip", w.Header().Get("Content-Type"))
	require.Contains(t, w.Header().Get("Content-Disposition"), `.zip"`)
	return bytes.Clone(w.Body.Bytes())
}

// importBody makes an ImportFunctionRequestBody.
func importBody(t *testing.T, name string, data []byte) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"func_name": name, "file_name": name + ".zip", "file_type": "zip", "file_code": base64.StdEncoding.EncodeToString(data)})
	require.NoError(t, err)
	return string(text)
}

// TestExportAndImport holds functions of every kind of code to be the same after an export, a removal and an import.
func TestExportAndImport(t *testing.T) {
	b := newDiskBench(t, faas.Quota{Functions: 10, CodeBytes: 1 << 20})
	dependency := fields(t, b.send("POST", "/v2/"+project+"/fgs/dependencies/version", `{"name":"lib","runtime":"Python3.9","depend_type":"zip","depend_file":"`+zipped+`"}`))
	const common = `"package":"odd","runtime":"Python3.9","handler":"index.handler","memory_size":256,"timeout":30`
	for name, body := range map[string]string{
		"plain": `"code_type":"inline","func_code":{"file":"cGFzcw=="}`,
		"zip":   `"code_type":"zip","code_filename":"mine.zip","func_code":{"file":"` + zipped + `"}`,
		"obs":   `"code_type":"obs","code_url":"https://test.obs.xxx.xxx.com/fss_examples_python2.7.zip"`,
		"filled": `"code_type":"inline","func_code":{"file":"cGFzcw=="},"depend_version_list":["` + dependency["id"].(string) + `"],
			"description":"says \"hi\": {x}\n你好","user_data":"{\"a\": \"1\", \"yes\":\"no\"}","encrypted_user_data":"{\"key\":\"\"}","initializer_handler":"index.init","initializer_timeout":7,
			"pre_stop_handler":"index.stop","pre_stop_timeout":3,"strategy_config":{"concurrency":0,"concurrent_num":5},"ephemeral_storage":10240,
			"enable_dynamic_memory":true,"type":"v1","xrole":"agency","app_xrole":"app","enterprise_project_id":"e1",
			"enable_lts_log":false,"domain_names":"[]","func_vpc":{"vpc_id":"v","subnet_id":"s"},"network_controller":{"disable_public_network":false},
			"mount_config":{"mount_user":{"user_id":65000,"user_group_id":-1},"func_mounts":[{"mount_type":"sfs","mount_resource":"r","local_mount_path":"/mnt"}]},"gpu_memory":1024,"log_config":{"group_id":"g","stream_id":"s"}`,
	} {
		t.Run(name, func(t *testing.T) {
			made := fields(t, b.send("POST", functions, `{"func_name":"`+name+`",`+common+`,`+body+`}`))
			urn := functions + "/" + made["func_urn"].(string)[:strings.LastIndex(made["func_urn"].(string), ":")]
			if name == "filled" { // which a request to create has no place for
				fields(t, b.send("PUT", urn+"/config", `{"heartbeat_handler":"index.beat","peering_cidr":"10.0.0.0/8"}`))
				made = fields(t, b.send("GET", urn+"/config", ""))
			}
			code := fields(t, b.send("GET", urn+"/code", ""))
			w := b.send("GET", urn+"/export?code=true&config=true", "")
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			answer := fields(t, w)
			exported := exportOf(t, b, urn, "code=true&config=true")
			require.Equal(t, map[string]any{
				"func_name": name, "package": "odd", "file_name": name + ".zip", "file_type": "zip", "file_code": base64.StdEncoding.EncodeToString(exported),
			}, answer)
			require.Equal(t, 204, b.send("DELETE", urn, "").Code)

			again := fields(t, b.send("POST", functions+"/import", w.Body.String()))
			codeAgain := fields(t, b.send("GET", urn+"/code", ""))
			for _, answer := range []map[string]any{made, code, again, codeAgain} {
				delete(answer, "func_id")
				delete(answer, "resource_id")
				delete(answer, "image_name")
			}
			require.Equal(t, made, again)
			require.Equal(t, code, codeAgain)
			require.Equal(t, 409, b.send("POST", functions+"/import", importBody(t, name, exported)).Code)
			fields(t, b.send("POST", functions+"/import", importBody(t, name+"-again", exported)))
		})
	}
}

// TestExportParts asks for parts of an export.
func TestExportParts(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	fields(t, b.send("POST", functions, `{"func_name":"f","package":"default","runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":3,"code_type":"inline","func_code":{"file":"cGFzcw=="}}`))
	for query, want := range map[string][]string{
		"type=code": {"code/index.py"}, "code=true": {"code/index.py"}, "type=config": {"f.yaml"}, "config=true&code=false": {"f.yaml"},
		"config=true&code=true": {"code/index.py", "f.yaml"},
	} {
		require.Equal(t, want, slices.Sorted(maps.Keys(entries(t, exportOf(t, b, functions+"/f", query)))), query)
	}
	for _, query := range []string{"", "type=all", "type=code&code=true", "code=maybe", "code=false"} {
		require.Equal(t, 400, b.send("GET", functions+"/f/export?"+query, "").Code, query)
	}
	require.Equal(t, 404, b.send("GET", functions+"/none/export?type=code", "").Code)
	text := entries(t, exportOf(t, b, functions+"/f", "type=config"))["f.yaml"]
	require.Equal(t, `HcCrmTemplateVersion: v2
Resources:
    f:
        Type: HC::Serverless::Function
        Properties:
            CodeFilename: index.py
            CodeType: inline
            EnterpriseProjectId: "0"
            EphemeralStorage: 512
            Handler: index.handler
            MemorySize: 128
            Package: default
            Runtime: Python3.9
            StrategyConfig:
                concurrency: -1
                concurrent_num: 1
            Timeout: 3
            Type: v2
`, text)
}

// TestImportRefuses what is no export.
func TestImportRefuses(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	const head = "HcCrmTemplateVersion: v2\nResources:\n  f:\n    Type: HC::Serverless::Function\n    Properties:\n"
	const good = head + "      Handler: index.handler\n      Runtime: Python3.9\n      memory_size: 128\n      TIMEOUT: 3\n      CodeType: inline\n"
	refusals := 0
	refused := func(status int, code string, data []byte, also ...string) {
		t.Helper()
		refusals++
		body := importBody(t, "f", data)
		for i := 0; i < len(also); i += 2 {
			body = strings.Replace(body, also[i], also[i+1], 1)
		}
		w := b.send("POST", functions+"/import", body)
		require.Equal(t, status, w.Code, w.Body)
		require.Contains(t, w.Body.String(), `"error_code":"`+code+`"`)
	}
	refused(400, "FSS.1013", []byte("no zip"))
	refused(400, "FSS.1013", zipOf(t, "f.yaml", good), `"zip"`, `"tar"`)
	refused(400, "FSS.1022", zipOf(t, "code/index.py", "pass"))
	refused(400, "FSS.1022", zipOf(t, "f.yaml", good, "g.yml", good))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", "- no\n: map"))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", "Resources: {}"))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", strings.Replace(good, "HC::Serverless::Function", "HC::Bucket", 1)))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", good+"      Colour: red\n"))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", good+"      Description: [1]\n", "code/index.py", "pass"))
	refused(400, "FSS.1025", zipOf(t, "f.yaml", good+"      DependVersionList: 7\n", "code/index.py", "pass"))
	refused(404, "FSS.1056", zipOf(t, "f.yaml", good+"      DependVersionList: [gone]\n", "code/index.py", "pass"))
	refused(400, "FSS.1007", zipOf(t, "f.yaml", strings.Replace(good, "128", "129", 1), "code/index.py", "pass"))
	refused(400, "FSS.1012", zipOf(t, "f.yaml", good))
	refused(413, "FSS.1071", zipOf(t, "f.yaml", strings.Repeat("#", 1<<20+1)))
	require.Equal(t, 14, refusals)

	// A property may be written in another way, may tell what no request sets, and variables may be written out.
	data := zipOf(t, "f.yaml", good+"      Cpu: 300\n      Digest: abc\n      UserData: {a: b}\n", "code/index.py", "pass")
	require.Equal(t, `{"a":"b"}`, fields(t, b.send("POST", functions+"/import", importBody(t, "", data)))["user_data"])
}

// TestImportOfTheVendors takes in an export in which the files of the package lie beside the YAML file.
func TestImportOfTheVendors(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	const settings = "HcCrmTemplateVersion: v2\nResources:\n  a9:\n    Type: HC::Serverless::Function\n    Properties:\n" +
		"      Handler: index.handler\n      Runtime: Python3.9\n      MemorySize: 128\n      Timeout: 3\n      CodeType: inline\n      CodeFileName: index.zip\n"
	fields(t, b.send("POST", functions+"/import", importBody(t, "", zipOf(t, "index.py", "pass", "lib/a.py", "a", "code/b.py", "b", "a9.yaml", settings))))
	code := fields(t, b.send("GET", functions+"/a9/code", ""))
	require.Equal(t, "index.zip", code["code_filename"])
	pkg, err := base64.StdEncoding.DecodeString(code["func_code"].(map[string]any)["file"].(string))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"index.py": "pass", "lib/a.py": "a", "code/b.py": "b"}, entries(t, pkg))
}

// TestImportFindsDependencies by their name and package where their ids are others.
func TestImportFindsDependencies(t *testing.T) {
	from, to := newDiskBench(t, faas.DefaultQuota), newDiskBench(t, faas.DefaultQuota)
	const dependencies = "/v2/" + project + "/fgs/dependencies/version"
	lib := func(b *bench, name, file string) map[string]any {
		return fields(t, b.send("POST", dependencies, `{"name":"`+name+`","runtime":"Python3.9","depend_type":"zip","depend_file":"`+file+`"}`))
	}
	other := base64.StdEncoding.EncodeToString(zipOf(t, "other.py", "pass"))
	ids := []string{lib(from, "b", zipped)["id"].(string), lib(from, "a", zipped)["id"].(string)}
	body, err := json.Marshal(ids)
	require.NoError(t, err)
	fields(t, from.send("POST", functions, `{"func_name":"f","package":"default","runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":3,"code_type":"inline","func_code":{"file":"cGFzcw=="},"depend_version_list":`+string(body)+`}`))
	exported := exportOf(t, from, functions+"/f", "code=true&config=true")

	lib(to, "a", other)
	lib(to, "ab", zipped)
	require.Equal(t, 404, to.send("POST", functions+"/import", importBody(t, "f", exported)).Code)
	a, b := lib(to, "a", zipped)["id"], lib(to, "b", zipped)["id"]
	lib(to, "a", other)
	require.Equal(t, []any{b, a}, fields(t, to.send("POST", functions+"/import", importBody(t, "f", exported)))["depend_version_list"])
}
