// Checks objects of Kubernetes and of the Prometheus operator against their schemas.
// Standard input is a JSON list of objects; standard output a list, as long, of lists
// of what is wrong with each.
//
// The schemas are functions that were generated from the API's OpenAPI documents. They
// let unknown fields pass, as the API does (it drops them): a misspelt field would go
// unnoticed. But they have to read every field that they know. So they are given objects
// that note what is read, and a field that nobody has read is one that is not there in
// the schema.
import { text } from "node:stream/consumers";

const modules = new URL("node_modules/", import.meta.url);
const core = (name) => new URL(`kubernetes-models/_schemas/IoK8sApi${name}.js`, modules);
const operator = (name) =>
  new URL(
    `@kubernetes-models/prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1${name}.js`,
    modules,
  );

const schemas = {
  "v1 Service": core("CoreV1Service"),
  "v1 Secret": core("CoreV1Secret"),
  "v1 ConfigMap": core("CoreV1ConfigMap"),
  "apps/v1 Deployment": core("AppsV1Deployment"),
  "autoscaling/v2 HorizontalPodAutoscaler": core("AutoscalingV2HorizontalPodAutoscaler"),
  "networking.k8s.io/v1 Ingress": core("NetworkingV1Ingress"),
  "networking.k8s.io/v1 NetworkPolicy": core("NetworkingV1NetworkPolicy"),
  "policy/v1 PodDisruptionBudget": core("PolicyV1PodDisruptionBudget"),
  "monitoring.coreos.com/v1 ServiceMonitor": operator("ServiceMonitor"),
};

// watched is `value` with every read of a field noted in `read`, by its path.
function watched(value, path, read) {
  if (value === null || typeof value !== "object") return value;
  const inner = new Map(); // one proxy for each field: schemas compare
  return new Proxy(value, {
    get(target, key) {
      if (typeof key !== "string" || !Object.hasOwn(target, key)) return target[key];
      const at = `${path}/${key}`;
      read.add(at);
      if (!inner.has(key)) inner.set(key, watched(target[key], at, read));
      return inner.get(key);
    },
  });
}

// unread lists the fields, and the elements of lists, that are not in `read`; not what is beneath them.
function unread(value, path, read) {
  if (value === null || typeof value !== "object") return [];
  return Object.keys(value).flatMap((key) => {
    const at = `${path}/${key}`;
    return read.has(at) ? unread(value[key], at, read) : [at];
  });
}

async function check(object) {
  const name = `${object?.apiVersion} ${object?.kind}`;
  if (!Object.hasOwn(schemas, name)) return [`there is no schema of ${name}`];
  const { validate } = await import(schemas[name]);
  const read = new Set();
  const wrong = validate(watched(object, "", read)) ? [] : validate.errors.map((e) => `${e.instancePath}: ${e.keyword} ${JSON.stringify(e.params)}`);
  return [...wrong, ...unread(object, "", read).map((at) => `${at}: there is no such field`)];
}

const objects = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(await Promise.all(objects.map(check))));
