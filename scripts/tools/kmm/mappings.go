// Command mappings asks KMM's own code which image, build arguments and files a Module means for a kernel.
//
// It reads cases from standard input and prints the answers. scripts/kmm-mappings.sh compiles it inside of a copy of KMM, whose packages
// nobody else may import; what happens to a node's release before they are asked (ModuleReconciler) is repeated here.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"

	kmmv1beta1 "github.com/rh-ecosystem-edge/kernel-module-management/api/v1beta1"
	"github.com/rh-ecosystem-edge/kernel-module-management/internal/build"
	"github.com/rh-ecosystem-edge/kernel-module-management/internal/module"
	"github.com/rh-ecosystem-edge/kernel-module-management/internal/sign"
)

type testCase struct {
	Name   string            `json:"name"`
	Kernel string            `json:"kernel"`
	Module kmmv1beta1.Module `json:"module"`
}

type answer struct {
	Name           string            `json:"name"`
	Failed         string            `json:"failed,omitempty"`
	Image          string            `json:"image,omitempty"`
	Insecure       bool              `json:"insecure,omitempty"`
	SkipVerify     bool              `json:"skipVerify,omitempty"`
	Dockerfile     string            `json:"dockerfile,omitempty"`
	BuildArgs      map[string]string `json:"buildArgs,omitempty"`
	BuildSecrets   []string          `json:"buildSecrets,omitempty"`
	BuildSelector  map[string]string `json:"buildSelector,omitempty"`
	BuildInsecure  bool              `json:"buildInsecure,omitempty"`
	FilesToSign    []string          `json:"filesToSign,omitempty"`
	UnsignedImage  string            `json:"unsignedImage,omitempty"`
	KeySecret      string            `json:"keySecret,omitempty"`
	CertSecret     string            `json:"certSecret,omitempty"`
	InTreeToRemove []string          `json:"inTreeToRemove,omitempty"`
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	check(err)
	var cases []testCase
	check(yaml.UnmarshalStrict(text, &cases))
	answers := make([]answer, 0, len(cases))
	for _, c := range cases {
		answers = append(answers, ask(c))
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	check(out.Encode(answers))
}

func ask(c testCase) (result answer) {
	result.Name = c.Name
	defer func() {
		if reason := recover(); reason != nil {
			result = answer{Name: c.Name, Failed: "panic"}
		}
	}()
	builds := build.NewHelper()
	mapper := module.NewKernelMapper(builds, sign.NewSignerHelper())
	kernel := strings.TrimSuffix(c.Kernel, "+")
	data, err := mapper.GetModuleLoaderDataForKernel(&c.Module, kernel)
	if err != nil {
		failed := "error"
		if strings.Contains(err.Error(), module.ErrNoMatchingKernelMapping.Error()) {
			failed = "no mapping"
		}
		return answer{Name: c.Name, Failed: failed}
	}
	result.Image = data.ContainerImage
	result.Insecure, result.SkipVerify = data.RegistryTLS.Insecure, data.RegistryTLS.InsecureSkipTLSVerify
	result.InTreeToRemove = data.InTreeModulesToRemove
	if data.Build != nil {
		result.Dockerfile = data.Build.DockerfileConfigMap.Name
		result.BuildSelector = data.Build.Selector
		result.BuildInsecure = data.Build.BaseImageRegistryTLS.Insecure
		for _, secret := range data.Build.Secrets {
			result.BuildSecrets = append(result.BuildSecrets, secret.Name)
		}
		sort.Strings(result.BuildSecrets)
		// As internal/build's maker does it.
		result.BuildArgs = map[string]string{}
		for _, arg := range builds.ApplyBuildArgOverrides(data.Build.BuildArgs,
			kmmv1beta1.BuildArg{Name: "KERNEL_VERSION", Value: kernel},
			kmmv1beta1.BuildArg{Name: "KERNEL_FULL_VERSION", Value: kernel},
			kmmv1beta1.BuildArg{Name: "MOD_NAME", Value: data.Name},
			kmmv1beta1.BuildArg{Name: "MOD_NAMESPACE", Value: data.Namespace},
		) {
			result.BuildArgs[arg.Name] = arg.Value
		}
	}
	if data.Sign != nil {
		result.FilesToSign, result.UnsignedImage = data.Sign.FilesToSign, data.Sign.UnsignedImage
		result.KeySecret, result.CertSecret = data.Sign.KeySecret.Name, data.Sign.CertSecret.Name
	}
	return result
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mappings:", err)
		os.Exit(1)
	}
}
