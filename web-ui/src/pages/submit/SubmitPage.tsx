/** Bundles: drop one, see what it is and asks for, run it. */
import { useQueryClient } from "@tanstack/react-query";
import { keys } from "../../api/keys";
import { uploadBundle } from "../../api/operations";
import { useBundles } from "../../api/queries";
import type { Bundle } from "../../api/types";
import { href, navigate, type Route } from "../../router";
import { runOperation } from "../../ui/operation";
import { Panel } from "../../ui/parts";
import { Notice, Shown } from "../../ui/states";
import { usePageTitle } from "../../ui/usePageTitle";
import { BundleForm } from "./BundleForm";
import { BundleList } from "./BundleList";
import { DropZone } from "./DropZone";
import "./submit.css";

export default function SubmitPage({ route }: { route: Route }) {
  usePageTitle("Submit");
  const client = useQueryClient();
  const bundles = useBundles();
  const choose = (id: string | null) => navigate(href(["submit"], { bundle: id }), true);
  const upload = (file: File) => runOperation(
    { going: `Uploading ${file.name}`, done: `${file.name} is uploaded`, failed: `${file.name} was not taken` },
    async () => {
      const id = await uploadBundle(file);
      await client.invalidateQueries({ queryKey: keys.bundles });
      choose(id);
    },
  );
  return (
    <>
      <div className="pagehead"><h1>Submit a job</h1></div>
      <div className="submit">
        <div className="stack">
          <DropZone onFile={upload} />
          <Panel title="Bundles" flush>
            <Shown of={bundles} what="Bundles">
              {({ files }) => files.length === 0
                ? <Notice title="No bundle is uploaded">millrace build makes one: target/bundles/my-app.mrb.</Notice>
                : <BundleList bundles={files} chosen={route.query.get("bundle")} onChoose={choose} />}
            </Shown>
          </Panel>
        </div>
        <Chosen bundle={bundles.data?.files.find((bundle) => bundle.id === route.query.get("bundle"))} />
      </div>
    </>
  );
}

function Chosen({ bundle }: { bundle: Bundle | undefined }) {
  if (bundle === undefined) {
    return <Panel title="What would run"><Notice title="Choose a bundle">Its manifest, the capabilities that it asks for and its graph are shown before anything runs.</Notice></Panel>;
  }
  return <BundleForm key={bundle.id} bundle={bundle} />;
}
