// As much of kubecfg's library as the manifests use: a text of one document.
{
  parseYaml(text):: [std.parseYaml(text)],
}
